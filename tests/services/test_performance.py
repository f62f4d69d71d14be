"""What a tenant is told it earned equals a reckoning of its own from the exported trades, live and in a backtest."""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from common.domain.backtest import curve
from common.domain.errors import InvalidInput, NotFound
from common.domain.position import CloseReason, Position
from common.domain.postings import CashFlow, FlowKind
from common.domain.signal import ExitPlan, Side
from common.offline import file_writer, row_writer
from common.services.explain_backtest import trade_row
from common.services.read_accounting import read_statements, trade_records
from common.services.read_feedback import feedback_on, read_feedback
from common.services.read_performance import CURVE_POINTS, read_performance
from common.services.reconcile_cash import reconcile_cash
from common.services.run_backtest import document
from common.services.snapshot_equity import snapshot_equity
from tests.domain.test_backtest import Scripted, flat, scripted
from tests.services.venue import ADA, NOON, SOL, VENUE
from tests.services.world import House, World

D = Decimal
HOUR = timedelta(hours=1)
PROFITS = [21, -9, -4.5, 11, 0.75, -30, 8, 8, -2, 14]


def closed(house: House, number: int, profit: float, **changes: Any) -> Position:
    """The `number`-th closed position: one every seven hours before noon, with costs that have digits."""
    at = NOON - (len(PROFITS) - number) * 7 * HOUR
    position = Position(
        id=UUID(int=number + 1),
        tenant_id=house.tenant.id,
        account_id=house.account.id,
        venue=VENUE,
        instrument=(SOL, ADA)[number % 2],
        side=(Side.LONG, Side.SHORT)[number % 3 == 0],
        strategy=("ema_crossover", "confluence")[number % 2],
        signal_id=None,
        leverage=4,
        exits=ExitPlan(D(90), D(120)),
        opened_quantity=D("0.7"),
        entry_price=D(100),
        exit_price=D("101.3"),
        gross_profit=D(str(profit)),
        fees=D("0.07070000"),
        funding=D("-0.0123"),
        opened_at=at - HOUR * (1 + number % 4),
        closed_at=at,
        close_reason=(CloseReason.STOP, CloseReason.TARGET)[profit > 0],
    )
    return replace(position, **changes)


def live_through(world: World, house: House) -> None:
    """Ten trades over three days with an equity point at each end, a deposit in between, and the balance of noon."""
    equity = D(100_000)
    with world.store.unit_of_work(house.tenant.id) as uow:
        for number, profit in enumerate(PROFITS):
            position = closed(house, number, profit)
            uow.positions.add(position)
            equity += position.net_profit * 100
            equity += 5_000 if number == 5 else 0
            at = position.closed_at or NOON
            uow.equity.snapshot(house.account.id, equity, equity, D(0), D(0), at)
        flow = CashFlow(
            *(house.tenant.id, house.account.id, VENUE, FlowKind.TRANSFER, "d", D(5_000), "USDT", "TRANSFER"),
            occurred_at=NOON - 34 * HOUR,
        )
        uow.cash_flows.add(flow)
        uow.accounts.save_balance(house.account.id, equity, equity, equity, NOON)
        uow.commit()


def exported(folder: Path, rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Closed trades as they stand in the exported file."""
    with file_writer()(folder, "trades", "csv", rows).open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["status"] == "closed"]


def reckoned(profits: list[Decimal]) -> dict[str, Any]:
    """Figures of trades from their profits alone, by code that shares nothing with what it checks."""
    gains, losses = [p for p in profits if p > 0], [p for p in profits if p < 0]
    longest = run = 0
    for profit in profits:
        run = run + 1 if profit < 0 else 0
        longest = max(longest, run)
    return {
        "trades": len(profits),
        "wins": len(gains),
        "win_rate": len(gains) / len(profits),
        "profit_factor": float(sum(gains) / -sum(losses)),
        "expectancy": float(sum(profits)) / len(profits),
        "net_profit": sum(profits),
        "best": max(profits),
        "worst": min(profits),
        "worst_streak": longest,
    }


def ratios(daily: list[float], risk_free: float = 0.045) -> tuple[float, float]:
    """(Sharpe, Sortino) of the equity at the ends of days."""
    excess = [after / before - 1 - risk_free / 365 for before, after in pairwise(daily)]
    mean = sum(excess) / len(excess)
    downside = math.sqrt(sum(min(value, 0.0) ** 2 for value in excess) / len(excess))
    return mean / statistics.stdev(excess) * math.sqrt(365), mean / downside * math.sqrt(365)


def falls(equity: list[float]) -> tuple[float, float]:
    """(deepest, current) fall below the highest before."""
    peaks = [max(equity[: n + 1]) for n in range(len(equity))]
    drops = [(peak - value) / peak for peak, value in zip(peaks, equity, strict=True)]
    return max(drops), drops[-1]


def assert_agree(told: dict[str, Any], own: dict[str, Any]) -> None:
    for name, value in own.items():
        assert float(told[name]) == pytest.approx(float(value), rel=1e-9, abs=1e-12), name


def test_the_live_figures_equal_a_reckoning_from_the_exported_trades(
    world: World, house: House, tmp_path: Path
) -> None:
    live_through(world, house)
    told = read_performance(world.fleet, house.tenant.id)
    rows = exported(tmp_path, trade_records(world.fleet, house.tenant.id))
    rows.sort(key=lambda row: row["close_time"])
    assert_agree(told, reckoned([D(row["pnl"]) for row in rows]))
    for key, column in (("by_symbol", "symbol"), ("by_strategy", "strategy"), ("by_exit", "close_reason")):
        groups: dict[str, list[Decimal]] = defaultdict(list)
        for row in rows:
            groups[row[column]].append(D(row["pnl"]))
        assert {name: (item["trades"], D(item["net_profit"])) for name, item in told[key].items()} == {
            name: (len(profits), sum(profits)) for name, profits in groups.items()
        }
    assert D(told["fees"]) == sum(D(row["fees"]) for row in rows)
    assert D(told["funding"]) == sum(D(row["funding"]) for row in rows)


def test_live_ratios_are_those_of_the_curve_without_its_deposit(world: World, house: House) -> None:
    live_through(world, house)
    told = read_performance(world.fleet, house.tenant.id, risk_free=D("0.02"))
    points = [(datetime.fromisoformat(item["at"]), float(item["equity"])) for item in told["curve"]]
    worth, index, previous = 1.0, [1.0], points[0][1]
    for at, equity in points[1:]:
        flowed = 5_000.0 if at == NOON - 28 * HOUR else 0.0
        worth *= (equity - flowed) / previous
        previous = equity
        index.append(worth)
    days: dict[Any, float] = {}
    for (at, _), value in zip(points, index, strict=True):
        days[at.astimezone(UTC).date()] = value
    sharpe, sortino = ratios(list(days.values()), 0.02)
    deepest, current = falls(index)
    own = {"sharpe": sharpe, "sortino": sortino, "max_drawdown": deepest, "current_drawdown": current}
    assert_agree(told, own | {"total_return": worth - 1})
    assert (told["flows"]["deposits"], told["flows"]["withdrawals"]) == ("5000", "0")


def test_profits_of_day_week_and_month_are_those_of_their_closes(world: World, house: House) -> None:
    live_through(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.positions.add(
            closed(house, 40, 1000, closed_at=NOON - timedelta(days=9), opened_at=NOON - timedelta(days=10))
        )
        uow.commit()
    told = read_performance(world.fleet, house.tenant.id)
    by_day = {day: D(profit) for day, profit in told["daily_profit"].items()}
    # The last of the ten was closed seven hours before noon, the one before it on the day before.
    assert D(told["pnl"]["day"]) == by_day["2024-03-01"] == closed(house, 9, PROFITS[9]).net_profit
    assert D(told["pnl"]["week"]) == sum(list(by_day.values())[-7:])
    assert D(told["pnl"]["total"]) == sum(by_day.values()) == D(told["net_profit"])
    assert len(by_day) == 30
    assert list(by_day)[-1] == "2024-03-01"
    assert read_performance(world.fleet, house.tenant.id, days=7)["trades"] == len(PROFITS)


def test_a_backtests_figures_equal_a_reckoning_from_its_exported_trades(tmp_path: Path) -> None:
    bars = 2000
    closes = {bar: 100 + 3 * math.sin(bar / 37) + 2 * math.sin(bar / 11) for bar in range(bars)}
    columns = flat(
        bars,
        open=closes,
        close=closes,
        high={bar: close + 0.4 for bar, close in closes.items()},
        low={bar: close - 0.4 for bar, close in closes.items()},
    )
    script = Scripted(
        {bar: 1 if bar % 3 else -1 for bar in range(20, bars - 20, 13)},
        stop=1.5,
        target=2.0,
        max_hold=timedelta(hours=2),
    )
    result = scripted(columns, script, fee="0.0005")
    told = document(result, curve(result))
    write = row_writer()
    rows = [trade_row(number, item, (0.0, 0.0)) for number, item in enumerate(result.positions, 1)]
    with write(tmp_path, "trades", rows)[1].open(encoding="utf-8") as file:
        trades = list(csv.DictReader(file))
    assert len(trades) > 50
    assert_agree(told, reckoned([D(row["net_profit"]) for row in trades]))
    assert told["fees"] == sum(D(row["fees"]) for row in trades)
    for row in trades:
        quantity, sign = D(row["quantity"]), 1 if row["side"] == "long" else -1
        gross = quantity * (D(row["exit_price"]) - D(row["entry_price"])) * sign
        assert D(row["net_profit"]) == gross - D(row["fees"]) + D(row["funding"])
    equity, ends = _marked(trades, columns, 10_000.0)
    sharpe, sortino = ratios(ends)
    assert_agree(told, {"sharpe": sharpe, "sortino": sortino, "max_drawdown_at_closes": falls(equity)[0]})


def _marked(trades: list[dict[str, str]], columns: Any, start: float) -> tuple[list[float], list[float]]:
    """Equity at every close, and at the beginning and the last close of every day; midnight ends the day before it."""
    spans = [
        (
            datetime.fromisoformat(row["opened_at"]).timestamp() * 1000,
            datetime.fromisoformat(row["closed_at"]).timestamp() * 1000,
            float(row["quantity"]) * (1 if row["side"] == "long" else -1),
            float(row["entry_price"]),
            float(row["net_profit"]),
        )
        for row in trades
    ]
    equity, by_day = [], {}
    for opened, close in zip(columns.opened_at.tolist(), columns.close.tolist(), strict=True):
        at = opened + 300_000
        value = start
        for entered, left, units, entry, net in spans:
            if left <= at:
                value += net
            elif entered < at:
                value += units * (close - entry)
        equity.append(value)
        by_day[(at - 1) // 86_400_000] = value
    return equity, [start, *by_day.values()]


def test_a_trade_record_has_its_sixteen_columns_and_its_causes(world: World, house: House) -> None:
    held = world.enter(house)
    (row,) = trade_records(world.fleet, house.tenant.id)
    assert list(row)[:16] == [
        *("id", "trader", "symbol", "side", "symbol_side", "entry_price", "quantity", "leverage", "open_time"),
        *("close_time", "exit_price", "pnl", "pnl_percent", "duration", "status", "close_reason"),
    ]
    assert (row["status"], row["close_time"], row["exit_price"], row["won"]) == ("open", None, None, None)
    assert (row["symbol_side"], row["side"], row["trader"]) == ("SOLUSDT_LONG", "LONG", "harbour")
    assert (row["id"], row["confidence"]) == (str(held.id), D("0.8"))
    assert row["signals"]["reasons"] == ["a test wants it"]
    world.move_price("97.77")
    world.visit(house)
    (row,) = trade_records(world.fleet, house.tenant.id)
    left = world.position(house)
    assert left is not None
    assert (row["status"], row["close_reason"], row["won"]) == ("closed", "stop", False)
    assert row["pnl"] == left.gross_profit - left.fees
    # Leverage multiplies the return on margin, never the profit.
    margin = left.opened_quantity * left.entry_price / left.leverage
    assert row["pnl_percent"] == round(row["pnl"] / margin * 100, 8)
    assert left.closed_at is not None
    assert left.opened_at is not None
    assert row["duration"] == (left.closed_at - left.opened_at).total_seconds()


def test_a_record_tells_what_the_model_said_and_in_which_regime(world: World, house: House) -> None:
    advised = world.settle_in("meridian", advisor="default")
    signal = world.signal(ADA, features={"market_regime_14": 2.0})
    world.enter(advised, signal)
    (row,) = trade_records(world.fleet, advised.tenant.id)
    assert row["agent_votes"]["verdict"] == "confirm"
    assert row["regime"] == 2.0
    assert json.loads(json.dumps(row["signals"])) == {
        "reasons": ["a test wants it"],
        "features": {"market_regime_14": 2.0},
    }


def test_a_trade_without_signal_is_told_without_causes(world: World, house: House) -> None:
    live_through(world, house)
    row = trade_records(world.fleet, house.tenant.id)[0]
    assert (row["confidence"], row["regime"], row["signals"], row["decision_id"]) == (None, None, None, None)


def test_a_file_of_no_trades_and_one_of_parquet_can_be_read(world: World, house: House, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    live_through(world, house)
    rows = trade_records(world.fleet, house.tenant.id)
    path = file_writer()(tmp_path, "trades", "parquet", rows)
    assert [row["pnl"] for row in pq.read_table(path).to_pylist()] == [row["pnl"] for row in rows]
    assert file_writer()(tmp_path / "new", "none", "csv", []).exists()


def test_a_new_tenant_has_no_figures_and_says_so(world: World, house: House) -> None:
    told = read_performance(world.fleet, house.tenant.id)
    assert (told["trades"], told["win_rate"], told["sharpe"], told["streak"]) == (0, None, None, 0)
    assert told["equity"] == "100000"
    assert len(told["curve"]) == 1


def test_a_tenant_without_accounts_has_no_curve(world: World, house: House) -> None:
    from common.services.tenants import create_tenant

    lonely = create_tenant(world.fleet, "lonely")
    told = read_performance(world.fleet, lonely.id)
    assert (told["curve"], told["equity"], told["trades"]) == ([], None, 0)


def test_a_long_curve_is_thinned_and_keeps_its_end(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        for number in range(CURVE_POINTS * 2 + 4):
            at = NOON - timedelta(days=1) + number * timedelta(seconds=30)
            uow.equity.snapshot(house.account.id, D(100 + number), D(100), D(0), D(0), at)
        uow.commit()
    told = read_performance(world.fleet, house.tenant.id)["curve"]
    assert len(told) <= CURVE_POINTS + 1
    assert (told[0]["equity"], told[-1]["equity"]) == ("100", "100000")


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 9999}, "days"),
        ({"risk_free": D(3)}, "risk_free"),
        ({"risk_free": D("NaN")}, "risk_free"),
    ],
)
def test_what_cannot_be_meant_is_refused(world: World, house: House, wish: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        read_performance(world.fleet, house.tenant.id, **wish)
    with pytest.raises(NotFound):
        read_performance(world.fleet, UUID(int=4))


def test_a_snapshot_stands_at_the_moment_the_venue_told_it(world: World, house: House) -> None:
    told_at = world.clock.now()
    world.clock.advance(30)
    assert snapshot_equity(world.fleet, *house.ids)
    world.clock.advance(13 * 3600)
    assert snapshot_equity(world.fleet, *house.ids)
    with world.store.unit_of_work(house.tenant.id) as uow:
        points = uow.equity.since(house.account.id, NOON)
    # A day begins with a point of its own.
    assert [point.occurred_at for point in points] == [told_at, world.clock.now()]


def test_feedback_is_the_tenants_own_and_kept_beside_decisions(world: World, house: House) -> None:
    other = world.settle_in("meridian")
    live_through(world, house)
    told = read_feedback(world.fleet, house.tenant.id)
    assert (told["tenant"], told["overall"]["trades"]) == ("harbour", 10)
    assert {name: item["trades"] for name, item in told["by_symbol"].items()} == {SOL: 5, ADA: 5}
    assert read_feedback(world.fleet, other.tenant.id)["overall"]["trades"] == 0
    world.announce()
    world.work()
    for name, count in ((house, 10), (other, 0)):
        decision = world.decision(name)
        assert decision is not None
        assert decision.inputs["feedback"]["overall"]["trades"] == count
        assert set(decision.inputs["feedback"]["by_symbol"]) <= {SOL}


def test_feedback_looks_at_the_last_twenty_of_all_and_of_each(world: World, house: House) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        for number in range(30):
            symbol = ADA if number < 5 else SOL
            uow.positions.add(closed(house, number, 10 if number < 5 else -10, instrument=symbol))
        uow.commit()
        found, on_ada = uow_feedback(world, house, SOL), uow_feedback(world, house, ADA)
    assert (found.overall.trades, found.by_symbol[SOL].trades, found.avoid) == (20, 20, (SOL,))
    assert (on_ada.by_symbol[ADA].trades, on_ada.favour) == (5, (ADA,))
    assert read_feedback(world.fleet, house.tenant.id)["by_symbol"][ADA]["trades"] == 5


def uow_feedback(world: World, house: House, symbol: str) -> Any:
    with world.store.unit_of_work(house.tenant.id) as uow:
        return feedback_on(uow, symbol)


def test_statements_tell_the_book_and_the_last_comparison(world: World, house: House) -> None:
    (before,) = read_statements(world.fleet, house.tenant.id)["accounts"]
    assert (before["compared"], before["entries"], before["is_balanced"]) == (None, 0, True)
    reconcile_cash(world.fleet, *house.ids)
    world.enter(house)
    world.clock.advance(60)
    reconcile_cash(world.fleet, *house.ids)
    (after,) = read_statements(world.fleet, house.tenant.id)["accounts"]
    assert D(after["compared"]["difference"]) == 0
    assert after["compared"]["first_difference"] == ""
    assert after["is_balanced"]
    assert D(after["balances"]["USDT"]["cash"]) == D(after["compared"]["wallet"])
    assert [flow["kind"] for flow in after["flows"]] == ["opening"]
