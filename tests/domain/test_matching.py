"""Matching on paper: fills, stops, limits, margin, funding and liquidation as a venue would book them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain import matching
from common.domain.errors import Refused
from common.domain.market import Candle, Instrument, InstrumentStatus, Level, OrderBook
from common.domain.matching import Observation, Outcome, Refusal
from common.domain.money import BOOKED
from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from common.domain.paper import PaperAccount, PaperPosition
from tests.clocks import NOON

D = Decimal
SYMBOL = "BTC/USDT:USDT"
MINUTE = timedelta(minutes=1)
BTC = Instrument(
    "sim", SYMBOL, "BTC", "USDT", "USDT", D("0.1"), D("0.001"), D("0.001"), D(100), D(100), 20, D("0.0002"), D("0.0005")
)
BOOK = OrderBook(
    (Level(D("99.9"), D(5)), Level(D("99.0"), D(50))), (Level(D("100.1"), D(5)), Level(D("101.0"), D(50))), NOON
)
SEEN = Observation(BTC, D(100), BOOK)
EMPTY = PaperAccount(UUID(int=1), "USDT", D(10_000))


def intent(**changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "order_id": UUID(int=1), "tenant_id": UUID(int=2), "account_id": UUID(int=1), "venue": "sim",
        "instrument": SYMBOL, "role": OrderRole.ENTRY, "side": OrderSide.BUY, "type": OrderType.MARKET,
        "quantity": D(2), "price": D(100), "trigger_price": None, "client_order_id": "twe1", "signal_id": None,
        "position_id": UUID(int=5), "leverage": 5, "halt_epoch": 0, "expires_at": NOON,
    }  # fmt: skip
    return OrderIntent(**(fields | changes))


def stop(trigger: str, **changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {"role": OrderRole.STOP, "side": OrderSide.SELL, "type": OrderType.STOP_MARKET}
    return intent(**(fields | {"trigger_price": D(trigger), "client_order_id": "tws1"} | changes))


def limit(price: str, **changes: Any) -> OrderIntent:
    return intent(**({"type": OrderType.LIMIT, "price": D(price)} | changes))


def holding(quantity: str, entry: str = "100", **changes: Any) -> PaperAccount:
    return replace(EMPTY, positions=(PaperPosition(SYMBOL, D(quantity), D(entry), 5, **changes),))


def submitted(account: PaperAccount, *intents: OrderIntent) -> PaperAccount:
    for item in intents:
        account = matching.submit(account, item, SEEN, NOON)[0].account
    return account


def candle(low: str, high: str, opened: str = "100", at: datetime = NOON) -> Candle:
    return Candle(at, at + MINUTE, D(opened), D(high), D(low), D(opened), D(1))


def after(account: PaperAccount, mark: str = "100", *candles: Candle, now: datetime = NOON + MINUTE) -> Outcome:
    return matching.advance(account, [replace(SEEN, mark=D(mark), candles=candles)], now)


# --- Taking an order --------------------------------------------------------------------------------------------------


def test_a_market_order_takes_the_book_level_by_level_and_pays_the_takers_fee() -> None:
    outcome, order = matching.submit(EMPTY, intent(quantity=D(8)), SEEN, NOON)
    assert [(fill.price, fill.quantity) for fill in outcome.fills] == [(D("100.1"), D(5)), (D("101.0"), D(3))]
    assert (order.status, order.filled_quantity) == (OrderStatus.FILLED, D(8))
    assert order.average_price == (D("100.1") * 5 + D(101) * 3) / 8
    assert outcome.account.wallet == 10_000 - (D("100.1") * 5 + D(101) * 3) * D("0.0005")
    assert outcome.account.positions == (PaperPosition(SYMBOL, D(8), order.average_price, 5),)
    assert outcome.account.orders == ()


def test_what_the_book_does_not_hold_expires() -> None:
    _, order = matching.submit(EMPTY, intent(quantity=D(80)), SEEN, NOON)
    assert (order.status, order.filled_quantity) == (OrderStatus.EXPIRED, D(55))


def test_without_a_book_nothing_fills() -> None:
    outcome, order = matching.submit(EMPTY, intent(), replace(SEEN, book=None), NOON)
    assert (order.status, outcome.fills) == (OrderStatus.EXPIRED, ())


def test_a_limit_order_takes_no_worse_than_its_price_and_rests_with_the_remainder() -> None:
    outcome, order = matching.submit(EMPTY, limit("100.5", quantity=D(8)), SEEN, NOON)
    assert [fill.price for fill in outcome.fills] == [D("100.1")]
    assert (order.status, outcome.account.orders) == (OrderStatus.PARTIALLY_FILLED, (order,))


def test_a_sell_takes_the_bids_and_opens_a_short() -> None:
    outcome, _ = matching.submit(EMPTY, intent(side=OrderSide.SELL), SEEN, NOON)
    assert matching.held(outcome.account, SYMBOL) == -2
    assert outcome.fills[0].price == D("99.9")


def test_an_exit_takes_no_more_than_is_held() -> None:
    exit_order = intent(role=OrderRole.EXIT, side=OrderSide.SELL, quantity=D(5))
    outcome, order = matching.submit(holding("2"), exit_order, SEEN, NOON)
    assert (order.status, order.filled_quantity) == (OrderStatus.EXPIRED, D(2))
    assert outcome.account.positions == ()
    assert outcome.account.wallet == 10_000 + (D("99.9") - 100) * 2 - D("99.9") * 2 * D("0.0005")


def test_an_entry_against_a_holding_closes_it_and_opens_the_rest_at_its_own_price() -> None:
    outcome, _ = matching.submit(
        holding("2", "90", funded_at=NOON), intent(side=OrderSide.SELL, quantity=D(3)), SEEN, NOON
    )
    assert outcome.account.positions == (PaperPosition(SYMBOL, D(-1), D("99.9"), 5),)
    assert outcome.account.wallet == 10_000 + (D("99.9") - 90) * 2 - D("99.9") * 3 * D("0.0005")


def test_adding_to_a_holding_averages_its_entry() -> None:
    outcome, _ = matching.submit(holding("2", "90"), intent(), SEEN, NOON)
    assert outcome.account.positions[0].entry_price == (D(90) * 2 + D("100.1") * 2) / 4


@given(
    st.lists(st.tuples(st.sampled_from(OrderSide), st.integers(1, 40), st.integers(900, 1100)), min_size=1, max_size=30)
)
def test_wallet_and_holdings_are_what_the_fills_add_up_to(trades: list[tuple[OrderSide, int, int]]) -> None:
    account, cash, fees = EMPTY, D(0), D(0)
    for side, size, price in trades:
        book = OrderBook((Level(D(price), D(100)),), (Level(D(price), D(100)),), NOON)
        outcome, _ = matching.submit(account, intent(side=side, quantity=D(size)), replace(SEEN, book=book), NOON)
        account = outcome.account
        cash -= sum(fill.price * fill.quantity * fill.side.sign for fill in outcome.fills)
        fees += sum(fill.fee for fill in outcome.fills)
    mark = D(1000)
    held = sum(side.sign * size for side, size, _ in trades)
    equity = account.wallet + matching.unrealised(account, {SYMBOL: mark})
    assert matching.held(account, SYMBOL) == held
    # Each realised profit is booked to eight decimals.
    assert abs(equity - (10_000 + cash - fees + mark * held)) <= len(trades) * BOOKED
    assert account.next_number == 1 + 2 * len(trades)


# --- Filters and margin -----------------------------------------------------------------------------------------------

BAD: dict[str, tuple[OrderIntent, Refusal]] = {
    "off the step": (intent(quantity=D("2.0005")), Refusal.PRECISION),
    "too small": (intent(quantity=D(0)), Refusal.QUANTITY),
    "too large": (intent(quantity=D(101)), Refusal.QUANTITY),
    "worth too little": (intent(quantity=D("0.5")), Refusal.NOTIONAL),
    "worth too little at its limit": (limit("40", quantity=D(2)), Refusal.NOTIONAL),
    "limit off the tick": (limit("100.05"), Refusal.PRICE),
    "limit below zero": (limit("-1"), Refusal.PRICE),
    "trigger off the tick": (stop("99.05"), Refusal.PRICE),
    "trigger missing": (replace(stop("99"), trigger_price=None), Refusal.PRICE),
    "leverage too high": (intent(leverage=21), Refusal.LEVERAGE),
    "leverage below one": (intent(leverage=0), Refusal.LEVERAGE),
}


@pytest.mark.parametrize(("asked", "refusal"), BAD.values(), ids=BAD.keys())
def test_a_filter_refuses_by_its_name(asked: OrderIntent, refusal: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        matching.check_filters(BTC, asked, D(100))
    assert caught.value.code == refusal


@pytest.mark.parametrize("asked", [intent(), limit("60"), stop("99"), stop("99", quantity=D("0.001"))])
def test_what_fits_every_filter_passes(asked: OrderIntent) -> None:
    matching.check_filters(BTC, asked, D(100))


def test_an_instrument_that_is_halted_takes_exits_only() -> None:
    halted = replace(BTC, status=InstrumentStatus.HALTED)
    matching.check_filters(halted, stop("99"), D(100))
    with pytest.raises(Refused, match="NOT_TRADING"):
        matching.check_filters(halted, intent(), D(100))


def check(account: PaperAccount, asked: OrderIntent) -> None:
    matching.check_account(account, asked, SEEN, {SYMBOL: D(100)})


@pytest.mark.parametrize(
    ("account", "asked", "refusal"),
    [
        (EMPTY, intent(role=OrderRole.EXIT, side=OrderSide.SELL), Refusal.REDUCE_ONLY),
        (holding("-2"), intent(role=OrderRole.EXIT, side=OrderSide.SELL), Refusal.REDUCE_ONLY),
        (holding("2"), stop("100"), Refusal.WOULD_TRIGGER),
        (holding("-2"), stop("100", side=OrderSide.BUY), Refusal.WOULD_TRIGGER),
        (replace(EMPTY, wallet=D(40)), intent(), Refusal.MARGIN),
        (replace(holding("2"), wallet=D(79)), intent(), Refusal.MARGIN),
        (submitted(replace(EMPTY, wallet=D(79)), limit("99")), limit("99"), Refusal.MARGIN),
    ],
)
def test_an_account_refuses_what_it_cannot_bear(account: PaperAccount, asked: OrderIntent, refusal: Refusal) -> None:
    with pytest.raises(Refused) as caught:
        check(account, asked)
    assert caught.value.code == refusal


def test_an_account_bears_exits_stops_and_entries_that_close_without_new_margin() -> None:
    poor = replace(holding("2"), wallet=D(41))
    check(poor, stop("99"))
    check(poor, intent(role=OrderRole.EXIT, side=OrderSide.SELL))
    check(poor, intent(side=OrderSide.SELL))
    check(replace(EMPTY, wallet=D("40.1")), intent())


def test_what_is_available_is_never_negative() -> None:
    assert matching.available(replace(holding("2"), wallet=D(-5)), {}) == 0


# --- Time passes ------------------------------------------------------------------------------------------------------


def test_a_stop_is_taken_out_at_its_trigger_less_half_the_spread() -> None:
    account = submitted(holding("2"), stop("99"))
    outcome = after(account, "100", candle("98.5", "100.2"))
    (executed,) = outcome.fills
    assert executed.price == D(99) * (1 - D("0.2") / 100 / 2)
    assert outcome.orders[0].status is OrderStatus.FILLED
    assert (outcome.account.positions, outcome.account.orders) == ((), ())


def test_a_candle_that_opens_beyond_the_stop_fills_at_its_opening() -> None:
    account = submitted(holding("2"), stop("99"))
    view = replace(SEEN, book=None, candles=(candle("94", "96", opened="95"),))
    assert matching.advance(account, [view], NOON + MINUTE).fills[0].price == 95


def test_a_stop_that_only_the_mark_of_now_has_touched_fills() -> None:
    outcome = after(submitted(holding("2"), stop("99")), "98")
    assert outcome.fills[0].price < 98
    assert outcome.fills[0].occurred_at == NOON + MINUTE


def test_a_shorts_stop_rests_above() -> None:
    account = submitted(holding("-2"), stop("101", side=OrderSide.BUY))
    assert after(account, "100", candle("99", "100.9")).fills == ()
    outcome = after(account, "100", candle("99", "101"))
    assert outcome.fills[0].price > 101
    assert outcome.account.positions == ()


def test_a_candle_from_before_the_order_does_not_touch_it() -> None:
    account = submitted(holding("2"), stop("99"))
    outcome = after(account, "100", candle("90", "100", at=NOON - timedelta(seconds=1)))
    assert outcome.is_empty


def test_a_quiet_candle_is_remembered_as_looked_at() -> None:
    outcome = after(submitted(holding("2"), stop("99")), "100", candle("99.1", "100"))
    assert outcome.account.orders[0].updated_at == NOON + MINUTE
    again = after(outcome.account, "100", candle("90", "100"))
    assert again.fills == ()


def test_a_stop_with_nothing_left_to_reduce_expires() -> None:
    account = replace(submitted(holding("2"), stop("99")), positions=())
    for outcome in (after(account, "100", candle("98", "100")), after(account, "98")):
        assert (outcome.orders[0].status, outcome.fills) == (OrderStatus.EXPIRED, ())


def test_a_stop_larger_than_the_holding_closes_it_and_expires() -> None:
    account = replace(submitted(holding("3"), stop("99", quantity=D(3))), positions=holding("1").positions)
    outcome = after(account, "100", candle("98", "100"))
    assert (outcome.orders[0].status, outcome.orders[0].filled_quantity) == (OrderStatus.EXPIRED, D(1))
    assert outcome.account.positions == ()


def test_a_stop_that_is_an_entry_fills_whole() -> None:
    account = submitted(EMPTY, stop("99", role=OrderRole.ENTRY))
    assert matching.held(after(account, "98").account, SYMBOL) == -2


@pytest.mark.parametrize(
    ("side", "price", "through", "touched"),
    [(OrderSide.BUY, "99", ("98.9", "100"), ("99", "100")), (OrderSide.SELL, "101", ("100", "101.1"), ("100", "101"))],
)
def test_a_resting_order_fills_as_maker_once_the_market_went_through_it_and_not_when_it_came_to_it(
    side: OrderSide, price: str, through: tuple[str, str], touched: tuple[str, str]
) -> None:
    account = submitted(EMPTY, limit(price, side=side))
    assert after(account, "100", candle(*touched)).fills == ()
    (executed,) = after(account, "100", candle(*through)).fills
    assert (executed.price, executed.is_maker) == (D(price), True)
    assert executed.fee == D(price) * 2 * D("0.0002")


def test_the_mark_of_now_fills_a_resting_order_too() -> None:
    assert after(submitted(EMPTY, limit("99")), "98.9").fills[0].price == 99


def test_a_resting_exit_fills_as_far_as_there_is_something_to_reduce() -> None:
    target = limit("101", role=OrderRole.EXIT, side=OrderSide.SELL, quantity=D(3))
    account = submitted(holding("2"), target)
    partly = after(account, "102")
    assert (partly.fills[0].quantity, partly.account.positions) == (D(2), ())
    flat = after(replace(account, positions=()), "102")
    assert (flat.fills, flat.orders[0].status) == ((), OrderStatus.EXPIRED)


def test_stops_go_before_targets_within_a_candle() -> None:
    target = limit("101", role=OrderRole.EXIT, side=OrderSide.SELL, client_order_id="twx1")
    outcome = after(submitted(holding("2"), target, stop("99")), "100", candle("98", "102"))
    assert [fill.client_order_id for fill in outcome.fills] == ["tws1"]
    assert {order.client_order_id: order.status for order in outcome.orders} == {
        "tws1": OrderStatus.FILLED,
        "twx1": OrderStatus.EXPIRED,
    }


def test_nothing_happens_where_nothing_rests() -> None:
    assert after(EMPTY, "100", candle("1", "1000")).is_empty


# --- Funding and liquidation ------------------------------------------------------------------------------------------


def funded(account: PaperAccount, rate: str | None, next_at: datetime | None, now: datetime) -> Outcome:
    view = replace(SEEN, funding_rate=None if rate is None else D(rate), next_funding_at=next_at)
    return matching.advance(account, [view], now)


def test_every_funding_time_that_passed_is_booked_once() -> None:
    account = holding("2", funded_at=NOON)
    outcome = funded(account, "0.0001", NOON + timedelta(hours=20), NOON + timedelta(hours=13))
    assert [(item.amount, item.occurred_at) for item in outcome.fundings] == [
        (D("-0.02"), NOON + timedelta(hours=4)),
        (D("-0.02"), NOON + timedelta(hours=12)),
    ]
    assert outcome.account.wallet == D("9999.96")
    assert outcome.account.positions[0].funded_at == NOON + timedelta(hours=12)
    assert funded(outcome.account, "0.0001", NOON + timedelta(hours=20), NOON + timedelta(hours=13)).is_empty


def test_shorts_receive_what_longs_pay() -> None:
    outcome = funded(holding("-2", funded_at=NOON), "0.0001", NOON + timedelta(hours=8), NOON + timedelta(hours=8))
    assert outcome.fundings[0].amount == D("0.02")


def test_a_fresh_holding_is_billed_from_its_first_look_on() -> None:
    outcome = funded(holding("2"), "0.0001", NOON + timedelta(hours=1), NOON)
    assert outcome.fundings == ()
    assert outcome.account.positions[0].funded_at == NOON


def test_a_forgotten_account_is_billed_for_a_month_at_most() -> None:
    outcome = funded(holding("2", funded_at=NOON - timedelta(days=365)), "0.0001", NOON, NOON)
    assert len(outcome.fundings) == 90


@pytest.mark.parametrize(("rate", "next_at"), [(None, NOON), ("0.0001", None)])
def test_a_market_without_funding_bills_none(rate: str | None, next_at: datetime | None) -> None:
    assert funded(holding("2", funded_at=NOON), rate, next_at, NOON + timedelta(days=2)).is_empty


def test_an_account_worth_less_than_its_maintenance_margin_is_closed_out() -> None:
    account = submitted(replace(holding("50"), wallet=D(510)), stop("80", quantity=D(50)), limit("85"))
    assert after(account, "90.3").is_empty
    outcome = after(account, "90.2")
    assert outcome.account.positions == ()
    assert outcome.account.orders == ()
    assert {order.status for order in outcome.orders} == {OrderStatus.CANCELED, OrderStatus.FILLED}
    assert outcome.fills[0].client_order_id.startswith("liquidation-")


def test_a_short_is_closed_out_by_buying_and_other_markets_with_it() -> None:
    other = replace(BTC, symbol="ETH/USDT:USDT")
    account = replace(holding("-50"), wallet=D(510))
    views = [replace(SEEN, mark=D("110.5")), Observation(other, D(10))]
    outcome = matching.advance(account, views, NOON)
    assert (outcome.fills[0].side, outcome.account.positions) == (OrderSide.BUY, ())


def test_a_look_at_two_markets_is_booked_in_the_same_order_whatever_the_order_of_looking() -> None:
    other = replace(BTC, symbol="ETH/USDT:USDT")
    account = replace(
        holding("2", funded_at=NOON),
        positions=(
            PaperPosition(SYMBOL, D(2), D(100), 5, NOON),
            PaperPosition(other.symbol, D(2), D(100), 5, NOON),
        ),
    )
    views = [
        replace(SEEN, instrument=item, funding_rate=D("0.0001"), next_funding_at=NOON + timedelta(hours=8))
        for item in (BTC, other)
    ]
    later = NOON + timedelta(hours=9)
    assert matching.advance(account, views, later) == matching.advance(account, views[::-1], later)


def test_a_settlement_closes_what_is_held_and_leaves_other_markets_alone() -> None:
    other = PaperPosition("ETH/USDT:USDT", D(1), D(10), 5)
    account = submitted(replace(holding("-2"), positions=(*holding("-2").positions, other)), stop("150"))
    outcome = matching.settle(account, SYMBOL, D(90), NOON)
    assert outcome.account.positions == (other,)
    assert outcome.account.wallet == EMPTY.wallet + 20
    assert [order.status for order in outcome.orders] == [OrderStatus.CANCELED, OrderStatus.FILLED]
    (fill,) = outcome.fills
    assert (fill.side, fill.quantity, fill.fee) == (OrderSide.BUY, D(2), D(0))


def test_a_settlement_of_nothing_only_cancels() -> None:
    outcome = matching.settle(submitted(EMPTY, limit("50")), SYMBOL, D(90), NOON)
    assert ([order.status for order in outcome.orders], outcome.fills) == ([OrderStatus.CANCELED], ())
