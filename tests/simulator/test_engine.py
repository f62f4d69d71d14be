"""The engine by itself: what fills, in which order, what funding and liquidation book, and that nothing is lost or made."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import desk
from simulator.account import Position
from simulator.errors import VenueError
from simulator.funding import rate_at
from simulator.orders import Order
from tests.simulator.candles import FIRST, STEP, Row, flat_rows, write_candles, write_market
from tests.simulator.worlds import Stage

HOUR = 3600.0


def _limit(stage: Stage, key: str, side: str, qty: str, price: str, **more: str) -> Order:
    params = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": qty, "price": price}
    return desk.place_order(stage.venue, key, params | more, stage.now_ms)


def _market(stage: Stage, key: str, side: str, qty: str, **more: str) -> Order:
    params = {"symbol": "BTCUSDT", "side": side, "type": "MARKET", "quantity": qty}
    return desk.place_order(stage.venue, key, params | more, stage.now_ms)


def _flat(tmp_path: Path) -> Stage:
    write_candles(tmp_path, "BTC", flat_rows(20_000, 300))
    return Stage(tmp_path)


def test_a_touched_order_gets_half_of_what_trades_and_so_fills_in_parts(tmp_path: Path) -> None:
    stage = _flat(tmp_path)
    stage.account("a", "100000000")
    order = _limit(stage, "a", "SELL", "40", "20000.01")
    stage.venue.accounts["a"].leverages["BTCUSDT"] = 20
    order.price = Decimal("20000.00")  # exactly where everything trades
    stage.venue.interest_version += 1
    stage.pass_time(30)
    sizes = [f.qty for f in stage.venue.fills["a"]]
    assert order.status == "PARTIALLY_FILLED"
    assert all(size < 20 for size in sizes)
    stage.pass_time(300)
    assert order.status == "FILLED"
    assert sum(f.qty for f in stage.venue.fills["a"]) == 40


def test_the_older_of_two_orders_at_a_price_fills_first(tmp_path: Path) -> None:
    stage = _flat(tmp_path)
    stage.account("a", "100000000")
    stage.account("b", "100000000")
    orders = [_limit(stage, key, "SELL", "30", "20000.01") for key in ("a", "b")]
    for order in orders:
        order.price = Decimal("20000.00")
    stage.venue.interest_version += 1
    stage.pass_time(600)
    assert stage.venue.fills["a"][-1].at_ms < stage.venue.fills["b"][-1].at_ms


def test_a_price_that_never_comes_never_fills(tmp_path: Path) -> None:
    stage = _flat(tmp_path)
    stage.account("a", "10000")
    order = _limit(stage, "a", "BUY", "0.1", "19999.00")
    stage.pass_time(4 * HOUR)
    assert (order.status, stage.venue.fills["a"]) == ("NEW", [])


def test_longs_pay_funding_when_the_rate_is_positive_and_shorts_get_it(tmp_path: Path) -> None:
    stage = _flat(tmp_path)
    for key, side in (("long", "BUY"), ("short", "SELL")):
        stage.account(key, "10000")
        _market(stage, key, side, "0.1")
    stage.pass_time(8 * HOUR)
    at_ms = (stage.now_ms // 28_800_000) * 28_800_000
    due = Decimal("0.1") * Decimal(20_000) * rate_at(stage.venue, "BTCUSDT", at_ms)
    paid = {
        key: [i.amount for i in stage.venue.income[key] if i.kind == "FUNDING_FEE"] for key in ("long", "short")
    }  # fmt: skip
    assert paid == {"long": [-due], "short": [due]}


def _falling(tmp_path: Path) -> Stage:
    rows: list[Row] = flat_rows(20_000, 12)
    price = Decimal(20_000)
    for n in range(12, 60):
        close = (price * Decimal("0.998")).quantize(Decimal("0.01"))
        rows.append((FIRST + STEP * n, price, price, close, close, Decimal(300)))
        price = close
    write_candles(tmp_path, "BTC", rows)
    return Stage(tmp_path)


def test_a_long_too_large_for_a_fall_is_closed_by_force_and_the_wallet_never_goes_below_zero(tmp_path: Path) -> None:
    stage = _falling(tmp_path)
    stage.account("bold", "10000")
    stage.venue.accounts["bold"].leverages["BTCUSDT"] = 50
    _market(stage, "bold", "BUY", "20")
    resting = _limit(stage, "bold", "BUY", "0.1", "15000.00")
    stage.pass_time(3 * HOUR)
    account = stage.venue.accounts["bold"]
    forced = [o for o in stage.venue.orders.values() if o.client_id.startswith("autoclose-")]
    assert account.held() == []
    assert account.wallet >= 0
    assert [o.status for o in forced] == ["FILLED"]
    assert resting.status == "CANCELED"
    assert account.wallet == stage.wallet_by_income("bold")


def test_a_stop_fires_at_its_price_and_not_before(tmp_path: Path) -> None:
    stage = _falling(tmp_path)
    stage.account("a", "10000")
    _market(stage, "a", "BUY", "0.1")
    wish = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.1", "triggerPrice": "19500",
        "reduceOnly": "true",
    }  # fmt: skip
    algo = desk.place_algo(stage.venue, "a", wish, stage.now_ms)
    stage.pass_time(900)
    assert algo.status == "NEW"
    stage.pass_time(2 * HOUR)
    fill = stage.venue.fills["a"][-1]
    assert algo.status == "FINISHED"
    assert Decimal(19400) < fill.price <= Decimal(19500)
    assert stage.venue.accounts["a"].held() == []


def test_a_stop_without_a_position_is_turned_away_when_it_fires(tmp_path: Path) -> None:
    stage = _falling(tmp_path)
    stage.account("a", "10000")
    wish = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.1", "triggerPrice": "19500",
        "reduceOnly": "true",
    }  # fmt: skip
    algo = desk.place_algo(stage.venue, "a", wish, stage.now_ms)
    stage.pass_time(3 * HOUR)
    assert (algo.status, stage.venue.fills["a"]) == ("REJECTED", [])


def test_the_same_play_twice_is_the_same_to_the_last_digit(tmp_path: Path) -> None:
    write_market(tmp_path, {"BTC": 20_000}, 300)

    def play() -> list[dict[str, object]]:
        stage = Stage(tmp_path)
        stage.account("a", "10000")
        _market(stage, "a", "BUY", "0.1")
        _limit(stage, "a", "SELL", "0.1", "20150.00")
        stage.pass_time(8 * HOUR)
        return [f.dump() for f in stage.venue.fills["a"]]

    assert play() == play()
    assert len(play()) >= 2


def test_it_matters_not_in_which_steps_time_passes(tmp_path: Path) -> None:
    write_market(tmp_path, {"BTC": 20_000, "ETH": 600}, 300)

    def play(step: float) -> list[dict[str, object]]:
        stage = Stage(tmp_path)
        stage.account("a", "10000")
        _limit(stage, "a", "BUY", "0.1", "19980.00")
        _limit(stage, "a", "SELL", "0.2", "20120.00")
        for _ in range(int(4 * HOUR / step)):
            stage.pass_time(step)
        return [f.dump() for f in stage.venue.fills["a"]]

    assert play(4 * HOUR) == play(60) == play(7.5)


Moves = st.lists(
    st.tuples(
        st.sampled_from(["market", "limit", "stop", "cancel", "wait"]),
        st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 400),
        st.integers(-30, 30),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


@given(moves=Moves)
@settings(max_examples=25)
def test_whatever_is_done_the_books_agree(moves: list[tuple[str, str, int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_market(Path(folder), {"BTC": 20_000}, 300)
        stage = Stage(Path(folder))
        stage.account("a", "20000")
        for move in moves:
            _do(stage, *move)
        account = stage.venue.accounts["a"]
        assert account.wallet == stage.wallet_by_income("a")
        assert account.position("BTCUSDT").qty == stage.position_by_fills("a", "BTCUSDT")
        for order in stage.venue.orders.values():
            filled = sum((f.qty for f in stage.venue.fills["a"] if f.order_id == order.order_id), Decimal(0))
            assert order.filled == filled <= order.qty
            assert (order.status == "FILLED") == (order.filled == order.qty)
        kept = [doc["status"] for doc in stage.venue.store.rows("orders")]
        assert kept == [o.status for o in stage.venue.orders.values()]


def _do(stage: Stage, kind: str, side: str, size: int, offset: int, reduce: bool) -> None:
    qty, more = f"{size / 1000:.3f}", {"reduceOnly": "true"} if reduce else {}
    last = stage.venue.last_price("BTCUSDT", stage.now_ms)
    price = f"{last * (1000 + offset) / 1000:.2f}"
    stop = {"symbol": "BTCUSDT", "side": side, "type": "STOP_MARKET", "quantity": qty, "triggerPrice": price} | more
    acts = {
        "market": lambda: _market(stage, "a", side, qty, **more),
        "limit": lambda: _limit(stage, "a", side, qty, price, **more),
        "stop": lambda: desk.place_algo(stage.venue, "a", stop, stage.now_ms),
        "cancel": lambda: desk.cancel_all(stage.venue, "a", "BTCUSDT", stage.now_ms),
        "wait": lambda: stage.pass_time(size * 10),
    }
    try:
        acts[kind]()
    except VenueError:
        return


Fills = st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(900, 1100)), min_size=1, max_size=30)


@given(fills=Fills)
def test_what_a_position_realizes_and_what_is_open_is_all_the_money_that_moved(fills: list[tuple[int, int]]) -> None:
    position, paid, realized = Position("X"), Decimal(0), Decimal(0)
    for qty, price in fills:
        realized += position.apply(Decimal(qty), Decimal(price))
        paid += Decimal(qty) * price
    mark = Decimal(1000)
    assert abs(realized + position.unrealized(mark) - (position.qty * mark - paid)) < Decimal("0.000001")
