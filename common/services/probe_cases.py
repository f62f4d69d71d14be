"""The numbered cases of a probe: what our orders rely on, asked of a venue one by one through the very adapter that trades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from common.domain.errors import NotFound, Permanent, Refused, Transient
from common.domain.money import ZERO, floor_to
from common.domain.order import TERMINAL, WORKING, OrderRole, OrderSide, OrderStatus
from common.services.probe_lab import Lab, Scenario, expect, not_offered


def market_scenario(lab: Lab) -> Scenario:
    """Clock, grids, book and balance."""
    item = lab.instrument
    grid = (item.tick_size, item.step_size, item.min_quantity, item.max_quantity, item.min_notional)
    book = lab.market.book(item.symbol, 5)
    balance = lab.venue.balance()
    yield expect(abs(book.occurred_at - lab.clock.now()) < lab.clock.transport(5), f"book of {book.occurred_at}")
    yield expect(all(value.is_finite() for value in grid) and min(grid[:3]) > 0, f"grid {[str(v) for v in grid]}")
    yield expect(bool(book.bids and book.asks), "bids and asks")
    yield expect(book.bids[0].price < book.asks[0].price, "best bid below best ask")
    yield expect(balance.available > 0 and balance.wallet.is_finite(), f"{balance.available} {balance.asset} available")
    yield expect(not lab.held(), f"holds {lab.held()}")


def identity_scenario(lab: Lab) -> Scenario:
    """An order is known by our id from its acknowledgement to its listing."""
    intent = lab.resting()
    order = lab.place(intent)
    asked = lab.clock.monotonic()
    yield expect(order.client_order_id == intent.client_order_id, "the acknowledgement bears our id")
    found = lab.find(intent)
    lab.findings["visible_after_ms"] = str(round((lab.clock.monotonic() - asked) * 1000))
    yield expect(found is not None and found.client_order_id == intent.client_order_id, f"found: {found is not None}")
    yield expect(found is not None and found.venue_order_id == order.venue_order_id, "one order under one venue id")
    yield expect(found is not None and found.status is OrderStatus.ACCEPTED, f"status {found and found.status}")
    yield expect(found is not None and found.quantity == intent.quantity, f"quantity {found and found.quantity}")
    listed = lab.eventually(lambda: lab.listed(intent)) or []
    yield expect(len(listed) == 1, f"{len(listed)} listed as open under our id")
    on_wire = lab.id_rules.on_wire(intent.client_order_id)
    has_prefix = on_wire.startswith(intent.client_order_id[:2])
    yield expect(
        has_prefix, "ids in listings bear our prefix" if has_prefix else f"{on_wire[:8]}… bears no prefix of ours"
    )
    yield expect(lab.venue.find(replace(intent, client_order_id=lab.new_id())) is None, "an unknown id finds nothing")


def id_form_scenario(lab: Lab) -> Scenario:
    """The longest id is taken; what the venue would not take does not leave."""
    length = lab.id_rules.length_max
    if length is None:
        lab.findings["id"] = "hashed to what the venue takes"
        for _ in range(3):
            yield not_offered("ids are hashed: every length and letter will do")
        return
    lab.findings["id"] = f"up to {length} characters"
    longest = lab.resting()
    longest = replace(longest, client_order_id=(longest.client_order_id + "x" * length)[:length])
    yield expect(lab.attempt(longest) == "accepted" and lab.find(longest) is not None, f"{length} characters")
    too_long = replace(longest, client_order_id=longest.client_order_id + "x")
    yield expect(lab.attempt(too_long) == "refused NOT_SENT", f"{length + 1} characters do not leave")
    strange = replace(longest, client_order_id="probe id with spaces")
    yield expect(lab.attempt(strange) == "refused NOT_SENT", "letters that are not taken do not leave")


def duplicate_scenario(lab: Lab) -> Scenario:
    """A second use of an id is evidence that the first arrived, never a refusal; how long it is refused is found out."""
    intent = lab.resting()
    lab.place(intent)
    lab.find(intent)
    again = lab.attempt(intent)
    # A definite refusal would be written as REJECTED, while the first order rests at the venue.
    yield expect(not again.startswith("refused"), f"second use while open: {again}")
    expected = 2 if again == "accepted" else 1
    listed = lab.eventually(lambda: found if len(found := lab.listed(intent)) >= expected else None) or []
    yield expect(len(listed) == expected, f"{len(listed)} open under the id")
    for _ in listed:
        lab.venue.cancel(intent)
    after_cancel = lab.attempt(intent)
    yield expect(not after_cancel.startswith("refused"), f"second use after a cancel: {after_cancel}")
    lab.venue.cancel(intent)
    filled = lab.intent()
    lab.place(filled)
    lab.eventually(lambda: _is_filled(lab, filled))
    after_fill = lab.attempt(filled)
    yield expect(not after_fill.startswith("refused"), f"second use after a fill: {after_fill}")
    accepted = [answer == "accepted" for answer in (again, after_cancel, after_fill)]
    lab.findings["id_unique"] = "not at all" if accepted[0] else "among open orders" if any(accepted) else "for ever"


def _is_filled(lab: Lab, intent: object) -> bool:
    found = lab.venue.find(intent)  # type: ignore[arg-type]
    return found is not None and found.status is OrderStatus.FILLED


def cancel_scenario(lab: Lab) -> Scenario:
    """A cancel is a request; its end is learnt by asking, and asking twice or too late harms nothing."""
    intent = lab.resting()
    lab.place(intent)
    lab.find(intent)
    lab.venue.cancel(intent)
    ended = lab.eventually(lambda: found if (found := lab.venue.find(intent)) and found.status in TERMINAL else None)
    yield expect(ended is not None and ended.status is OrderStatus.CANCELED, f"status {ended and ended.status}")
    yield expect(not lab.listed(intent), "no longer listed as open")
    lab.venue.cancel(intent)
    yield expect(True, "a second cancel is no error")
    lab.venue.cancel(lab.resting())
    yield expect(True, "cancelling what never was is no error")
    filled = lab.intent()
    lab.place(filled)
    lab.venue.cancel(filled)
    yield expect(bool(lab.eventually(lambda: _is_filled(lab, filled))), "a cancel after the fill leaves it filled")


def fills_scenario(lab: Lab) -> Scenario:
    """Fills tell which order they belong to, add up, and are the same whenever they are asked for."""
    before = lab.held()
    intent = lab.intent()
    order = lab.place(intent)
    lab.findings["acknowledgement"] = "with fills" if order.filled_quantity > 0 else "before fills are known"
    yield expect(bool(lab.eventually(lambda: _is_filled(lab, intent))), "a market order is filled")
    wanted = order.venue_order_id

    def mine() -> list[object]:
        return [fill for fill in lab.venue.fills(lab.instrument.symbol, lab.began) if fill.venue_order_id == wanted]

    lab.eventually(lambda: mine() or None)
    fills = [fill for fill in lab.venue.fills(lab.instrument.symbol, lab.began) if fill.venue_order_id == wanted]
    found = lab.venue.find(intent)
    total = sum((fill.quantity for fill in fills), ZERO)
    paid = sum((fill.quantity * fill.price for fill in fills), ZERO)
    yield expect(total == intent.quantity, f"fills of {total} for {intent.quantity}")
    owners = {fill.client_order_id for fill in fills}
    yield expect(owners == {intent.client_order_id}, "every fill is told to be ours")
    average = found.average_price if found else ZERO
    tick = lab.instrument.tick_size
    mean = paid / total if total else ZERO
    yield expect(total > 0 and abs(average - mean) <= tick, f"average {average} of fills at {mean.normalize()}")
    yield expect(
        all(fill.fee.is_finite() and fill.fee_asset for fill in fills), f"fees in {fills and fills[0].fee_asset}"
    )
    every = lab.venue.fills(lab.instrument.symbol, lab.began)
    yield expect(
        len({fill.trade_id for fill in every}) == len(every), f"{len(every)} fills, each with an id of its own"
    )
    yield expect(list(lab.venue.fills(lab.instrument.symbol, lab.began)) == list(every), "asked twice, told the same")
    later = max(fill.occurred_at for fill in every) + timedelta(milliseconds=1)
    yield expect(not lab.venue.fills(lab.instrument.symbol, later), "nothing is told from before the time asked for")
    yield expect(lab.held() == before + total, f"position {lab.held()} after {before} and {total}")


def paging_scenario(lab: Lab) -> Scenario:
    """Several orders in a row: none of their fills is missing from the pages."""
    intents = [lab.intent() for _ in range(4)]
    venue_ids = {lab.place(intent).venue_order_id for intent in intents}

    def seen() -> set[str]:
        return {f.venue_order_id for f in lab.venue.fills(lab.instrument.symbol, lab.began)} & venue_ids

    complete = lab.eventually(lambda: seen() == venue_ids)
    yield expect(bool(complete), f"fills of {len(seen())} of {len(venue_ids)} orders")
    times = [fill.occurred_at for fill in lab.venue.fills(lab.instrument.symbol, lab.began)]
    yield expect(times == sorted(times), "oldest first")


def position_scenario(lab: Lab) -> Scenario:
    """One net position a symbol; what may only reduce never opens."""
    entry = lab.intent()
    lab.place(entry)
    lab.eventually(lambda: _is_filled(lab, entry))
    before = lab.held()
    half = lab.intent(side=OrderSide.SELL)
    lab.place(half)
    lab.eventually(lambda: _is_filled(lab, half))
    yield expect(lab.held() == before - half.quantity, f"a sell takes {before} to {lab.held()}: one net position")
    exit_ = {"role": OrderRole.EXIT, "side": OrderSide.SELL}
    too_much = lab.intent(**exit_, quantity=abs(lab.held()) + lab.quantity())
    lab.attempt(too_much)
    lab.eventually(lambda: lab.held() <= 0 or None)
    yield expect(lab.held() >= 0, f"reduce-only for more than is held leaves {lab.held()}")
    if lab.held() > 0:
        lab.attempt(lab.intent(**exit_, quantity=lab.held()))
        lab.eventually(lambda: lab.held() == 0 or None)
    nothing_left = lab.attempt(lab.intent(**exit_))
    yield expect(nothing_left != "accepted" and not lab.held(), f"reduce-only without a position: {nothing_left}")


def stop_scenario(lab: Lab) -> Scenario:
    """A stop rests at the venue under our id, can be taken back, and is refused where it is already due."""
    entry = lab.intent()
    lab.place(entry)
    lab.eventually(lambda: _is_filled(lab, entry))
    stop = lab.stop(quantity=entry.quantity)
    order = lab.place(stop)
    yield expect(order.client_order_id == stop.client_order_id, "the stop's acknowledgement bears our id")
    found = lab.find(stop)
    yield expect(found is not None and found.status in WORKING and found.is_conditional, f"{found and found.status}")
    listed = lab.eventually(lambda: lab.listed(stop)) or []
    yield expect([item.is_conditional for item in listed] == [True], "listed among the open orders, as conditional")
    again = lab.attempt(stop)
    yield expect(not again.startswith("refused"), f"a stop's id used twice: {again}")
    lab.venue.cancel(stop)
    lab.venue.cancel(stop)
    yield expect(lab.eventually(lambda: not lab.listed(stop)) is True, "a cancelled stop is gone")
    due = lab.attempt(lab.stop("1.05", quantity=entry.quantity))
    yield expect(due != "accepted", f"a stop that is due already: {due}")


def window_scenario(lab: Lab) -> Scenario:
    """A request outside of its window is not taken, whenever it arrives."""
    validity = lab.venue.validity
    late = lab.resting()
    told = lab.attempt(late, lab.clock.now() - validity - lab.clock.transport(2))
    yield expect(told != "accepted", f"stamped before its window: {told}")
    yield expect(lab.venue.find(late) is None and not lab.listed(late), "it is nowhere to be found")
    early = lab.resting()
    told = lab.attempt(early, lab.clock.now() + lab.clock.transport(30))
    yield expect(told != "accepted" and not lab.listed(early), f"stamped half a minute ahead: {told}")
    lab.findings["validity_s"] = str(validity / lab.clock.transport(1))
    lab.findings["visibility_s"] = str(lab.venue.visibility / lab.clock.transport(1))


def filter_scenario(lab: Lab) -> Scenario:
    """What is off the grid does not leave; what the venue refuses is told by a code, or held in doubt."""
    item = lab.instrument
    good = lab.resting()
    off_step = lab.attempt(replace(good, quantity=good.quantity + item.step_size / 2, client_order_id=lab.new_id()))
    yield expect(off_step == "refused NOT_SENT", f"quantity off the grid: {off_step}")
    off_tick = lab.attempt(replace(good, price=good.price + item.tick_size / 2, client_order_id=lab.new_id()))
    yield expect(off_tick == "refused NOT_SENT", f"price off the grid: {off_tick}")
    unknown = lab.attempt(replace(good, instrument="NOSUCH/THING:USDT", client_order_id=lab.new_id()))
    yield expect(unknown == "refused NOT_SENT", f"an instrument that is not there: {unknown}")
    small = lab.resting(quantity=item.min_quantity, price=floor_to(lab.mark() * Decimal("0.5"), item.tick_size))
    told = [lab.attempt(small) if small.quantity * small.price < item.min_notional else "refused NOT_SENT"]
    yield expect(told[0] != "accepted", f"below the least notional: {told[0]}")
    large = lab.resting(quantity=floor_to(item.max_quantity, item.step_size))
    told.append(lab.attempt(large))
    yield expect(told[1] != "accepted" and not lab.listed(large), f"beyond the margin: {told[1]}")
    huge = lab.resting(quantity=floor_to(item.max_quantity, item.step_size) + item.step_size)
    told.append(lab.attempt(huge))
    yield expect(told[2] != "accepted", f"beyond the largest quantity: {told[2]}")
    is_definite = all(answer.startswith("refused") for answer in told)
    lab.findings["refusals"] = "by code" if is_definite else "by text: held in doubt until window and horizon are over"


def leverage_scenario(lab: Lab) -> Scenario:
    """Leverage can be set again and again, and not above what the venue grants; errors of reads have a type."""
    symbol = lab.instrument.symbol
    lab.venue.set_leverage(symbol, 2)
    lab.venue.set_leverage(symbol, 2)
    yield expect(True, "set twice")
    yield expect(_fails(lambda: lab.venue.set_leverage(symbol, 9999), Refused, Transient), "9999 is not granted")
    yield expect(
        _fails(lambda: lab.venue.fills("NOSUCH/THING:USDT", lab.began), NotFound, Permanent),
        "unknown instruments are told",
    )
    fundings = lab.venue.fundings(lab.began - timedelta(days=1))
    yield expect(len({item.income_id for item in fundings}) == len(fundings), f"{len(fundings)} funding payments")


def _fails(act: Callable[[], object], *kinds: type[Exception]) -> bool:
    try:
        act()
    except kinds:
        return True
    return False


def leave_scenario(lab: Lab) -> Scenario:
    """The account is left as it was found."""
    lab.clear_away()
    ids = {lab.id_rules.on_wire(intent.client_order_id) for intent in lab.placed}
    left = [item for item in lab.venue.open_orders() if item.client_order_id in ids]
    yield expect(not left, f"{len(left)} of our orders left open")
    yield expect(not lab.held(), f"holds {lab.held()}")


SCENARIOS: Mapping[Callable[[Lab], Scenario], tuple[str, ...]] = {
    market_scenario: (
        "clock within tolerance",
        "grid finite and above zero",
        "book has two sides",
        "book is not crossed",
        "balance told",
        "account flat before the probe",
    ),
    identity_scenario: (
        "id echoed on acknowledgement",
        "query by our id",
        "one venue id from acknowledgement to query",
        "a resting order is told as accepted",
        "quantity told exactly",
        "listed among the open orders by our id",
        "ids in listings bear our prefix, so that orders can be adopted",
        "an unknown id finds nothing",
    ),
    id_form_scenario: ("longest id", "a longer id does not leave", "a malformed id does not leave"),
    duplicate_scenario: (
        "duplicate id while open is no definite refusal",
        "as many orders under an id as were accepted",
        "duplicate id after a cancel is no definite refusal",
        "duplicate id after a fill is no definite refusal",
    ),
    cancel_scenario: (
        "a cancel ends the order",
        "a cancelled order is not listed",
        "cancel twice",
        "cancel what never was",
        "cancel races a fill",
    ),
    fills_scenario: (
        "a market order fills",
        "fills add up to the order",
        "fills are told to be ours",
        "average price is that of the fills",
        "fees are told with their asset",
        "trade ids are unique",
        "fills are told the same twice",
        "fills begin where asked",
        "position is the sum of fills",
    ),
    paging_scenario: ("no fill is missing from the pages", "fills oldest first"),
    position_scenario: (
        "one-way position mode",
        "reduce-only never turns a position",
        "reduce-only without a position is not taken",
    ),
    stop_scenario: (
        "a stop's id is echoed",
        "a stop rests at the venue",
        "a stop is listed as conditional",
        "duplicate id of a stop is no definite refusal",
        "a stop can be taken back, twice",
        "a stop that is due is not taken",
    ),
    window_scenario: (
        "a late request is not taken",
        "a late request leaves no trace",
        "a request from the future is not taken",
    ),
    filter_scenario: (
        "quantity off the grid does not leave",
        "price off the grid does not leave",
        "an unknown instrument does not leave",
        "least notional",
        "margin",
        "largest quantity",
    ),
    leverage_scenario: ("leverage set twice", "leverage beyond the limit", "errors of reads are told", "funding told"),
    leave_scenario: ("no order left behind", "nothing held after the probe"),
}
"""Every scenario with the names of its cases; a case's number is its place in this list, counted from 1."""

QUICK = (market_scenario, identity_scenario, duplicate_scenario, stop_scenario, window_scenario, leave_scenario)
"""What a practice venue is asked at every start; the numbers are those of the whole list."""
