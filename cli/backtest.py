"""`tradewinds backtest`: the fleet's own functions over recorded candles, and what came of it."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.domain.backtest import Counsel, Result, curve, run
from common.domain.errors import InvalidInput
from common.offline import age_s, peak_mb, recorded_candles, row_writer
from common.services.run_backtest import (
    Wishes,
    backtest_setup,
    chosen_strategy,
    document,
    load_markets,
    traded_candles,
)

if TYPE_CHECKING:
    from rich.console import Console

    from common.offline import RecordedCandles

FIGURES = (
    ("net_profit", "net profit"),
    ("total_return", "return"),
    ("win_rate", "win rate"),
    ("profit_factor", "profit factor"),
    ("expectancy", "expectancy a trade"),
    ("sharpe", "Sharpe, annualised"),
    ("sortino", "Sortino, annualised"),
    ("max_drawdown", "deepest drawdown, days"),
    ("max_drawdown_at_closes", "deepest drawdown, closes"),
    ("fees", "fees"),
    ("funding", "funding"),
    ("best", "best trade"),
    ("worst", "worst trade"),
    ("worst_streak", "losses in a row"),
    ("average_hold_s", "average hold, s"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed beside the wishes: where candles lie, and where results go."""

    wishes: Wishes
    data: Path | None = None
    venue: str | None = None
    world: str | None = None
    as_json: bool = False
    report: Path | None = None
    export: Path | None = None
    advisor: str | None = None

    def __post_init__(self) -> None:
        if self.advisor is not None and self.data is not None:
            expected = "no --data: recorded answers belong to signals on the shared history of a world"
            raise InvalidInput("advisor", self.advisor, expected)


@contextmanager
def candles_of(wanted: Wanted) -> Iterator[RecordedCandles]:
    """The files that were named, else the shared history."""
    if wanted.data is not None:
        yield recorded_candles(wanted.data)
        return
    from cli.data import history_fleet
    from common.services.stored_candles import StoredCandles

    with history_fleet(wanted.world) as fleet:
        yield StoredCandles(fleet, wanted.venue)


def run_backtest(wanted: Wanted) -> None:
    """`tradewinds backtest run`."""
    result, took = traded(wanted)
    began = age_s()
    found = curve(result)
    answer = document(result, found)
    took |= {"figures": age_s() - began, "total": age_s()}
    candles = traded_candles(result.setup)
    answer |= {
        "candles_per_s": round(candles / took["total"]),
        "engine_candles_per_s": round(candles / took["run"]) if took["run"] else None,
        "peak_mb": round(peak_mb(), 1),
        "seconds": {name: round(value, 3) for name, value in took.items()},
    }
    written = []
    if wanted.export is not None:
        written += export(result, answer, wanted.export)
    if wanted.report is not None:
        from cli.backtest_report import write_report

        written.append(write_report(result, found, answer, wanted.report))
    if written:
        answer["written"] = [str(path) for path in written]
    if wanted.as_json:
        sys.stdout.write(plain(answer) + "\n")
    else:
        from cli.output import console

        show(console(), answer)
    # Python looks for garbage once more as it ends: there is none, and everything to look through.
    gc.freeze()


def traded(wanted: Wanted) -> tuple[Result, dict[str, float]]:
    """(the backtest that was asked for, seconds of each of its steps)."""
    began = age_s()
    strategy = chosen_strategy(wanted.wishes)
    with candles_of(wanted) as source:
        markets = load_markets(source, wanted.wishes, strategy)
    counsel = _counsel(wanted) if wanted.advisor is not None else None
    loaded = age_s()
    result = run(backtest_setup(markets, wanted.wishes, strategy, counsel))
    return result, {"start": began, "load": loaded - began, "run": age_s() - loaded}


def _counsel(wanted: Wanted) -> Counsel:
    from cli.data import history_fleet
    from common.services.recorded_counsel import recorded_counsel

    with history_fleet(wanted.world) as fleet:
        return recorded_counsel(fleet, wanted.advisor or "")


def plain(value: Mapping[str, Any]) -> str:
    """One line of JSON; decimals as strings, shortened where they are quotients."""
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(round(value, 12) if -int(value.as_tuple().exponent) > 12 else value, "f")
    return str(value)


def export(result: Result, answer: Mapping[str, Any], folder: Path) -> list[Path]:
    """Trades, decisions and the curve as Parquet and CSV, the figures as JSON."""
    from common.domain.backtest import excursions
    from common.services.explain_backtest import decision_row, trade_row

    write, found = row_writer(), curve(result)
    trades = [
        trade_row(number, *pair)
        for number, pair in enumerate(zip(result.positions, excursions(result), strict=True), 1)
    ]
    decisions = [decision_row(result, number, item) for number, item in enumerate(result.decisions, 1)]
    columns = zip(found.at_ms.tolist(), found.equity.tolist(), found.exposure.tolist(), strict=True)
    points = [{"at_ms": at, "equity": equity, "exposure": exposure} for at, equity, exposure in columns]
    paths = write(folder, "trades", trades) + write(folder, "decisions", decisions) + write(folder, "equity", points)
    figures = folder / "result.json"
    figures.write_text(plain(answer) + "\n", encoding="utf-8")
    return [*paths, figures]


def show(console: Console, answer: Mapping[str, Any]) -> None:
    """The figures for people."""
    from rich.columns import Columns
    from rich.console import Group
    from rich.padding import Padding

    from cli.output import cell, table

    head = (
        f"[bold]{answer['strategy']}[/bold] on {len(answer['instruments'])} instruments, {answer['timeframe']}, "
        f"{cell(answer['from'])} to {cell(answer['to'])}, profile {answer['profile']}: {answer['candles']} candles, "
        f"{answer['signals']} signals, {answer['trades']} trades"
    )
    figures = table([{"figure": label, "value": _short(answer[name])} for name, label in FIGURES], ["figure", "value"])
    outcomes = table(
        [{"signals that were": name, "count": count} for name, count in answer["outcomes"].items()],
        ["signals that were", "count"],
    )
    fields = ["name", "trades", "win_rate", "profit_factor", "net_profit"]
    parts = [
        table([{"name": name} | _shortened(item) for name, item in answer[key].items()], fields, title)
        for key, title in (("by_symbol", "By instrument"), ("by_exit", "By exit"))
    ]
    spent = answer["seconds"]
    foot = (
        f"{answer['candles_per_s']:,} candles/s in {spent['total']:.2f} s (start {spent['start']:.2f}, load {spent['load']:.2f}, "
        f"run {spent['run']:.2f}, figures {spent['figures']:.2f}), peak {answer['peak_mb']:.0f} MB"
    )
    body = Columns([Padding(figures, (0, 4, 0, 0)), outcomes])
    console.print(Group(head, "", body, "", *parts, "", foot, *answer.get("written", ())))


def _short(value: object) -> object:
    return f"{value:.4f}" if isinstance(value, Decimal | float) else value


def _shortened(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in item.items()}


def explain_trade(wanted: Wanted, number: int, *, of_signals: bool) -> None:
    """`tradewinds backtest why`: one trade by its number, or one signal, filled or not."""
    from common.services.explain_backtest import decisions_behind, explain

    result, _ = traded(wanted)
    rows = result.decisions if of_signals else result.positions
    if not 1 <= number <= len(rows):
        raise InvalidInput("signal" if of_signals else "trade", number, f"a number from 1 to {len(rows)}")
    decided = [result.decisions[number - 1]] if of_signals else decisions_behind(result, [result.positions[number - 1]])
    (story,) = explain(result, decided)
    if not of_signals:
        from common.domain.backtest import excursions
        from common.services.explain_backtest import trade_row

        story = {"trade": trade_row(number, result.positions[number - 1], excursions(result)[number - 1]), **story}
    if wanted.as_json:
        sys.stdout.write(plain(story) + "\n")
    else:
        from cli.output import console

        show_story(console(), story)


def show_story(console: Console, story: Mapping[str, Any]) -> None:
    """Signal, verdict and exit of one decision for people."""
    from rich.console import Group

    from cli.output import cell, table

    signal, trade, veto = story["signal"], story.get("trade"), story["veto"]
    lines = [
        (
            f"[bold]{signal['strategy']} {signal['side']} {signal['instrument']}[/bold] at {cell(signal['closed_at'])}, "
            f"price {signal['price']}, confidence {signal['confidence']}: {story['outcome']}"
        ),
        *(f"  because {reason}" for reason in signal["reasons"]),
        *(f"  {name} = {value:g}" for name, value in signal["features"].items()),
    ]
    if veto is not None:
        lines.append(f"vetoed by {veto['rule']}: {cell(veto['measured'])} against {cell(veto['limit'])} {veto['unit']}")
    if trade is not None:
        lines.append(
            f"in at {trade['entry_price']} ({cell(trade['opened_at'])}), out at {trade['exit_price']} by {trade['reason']} "
            f"({cell(trade['closed_at'])}): {cell(trade['net_profit'])} after {cell(trade['fees'])} fees"
        )
    rules = [item for item in story["rules"] if item["measured"] is not None]
    shown = [item | {"said": "no" if item["is_crossed"] else "fine"} for item in rules]
    console.print(Group(*lines, "", table(shown, ["level", "rule", "measured", "limit", "unit", "said"], "The judges")))
