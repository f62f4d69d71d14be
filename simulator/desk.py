"""The order desk: reads a request as Binance would, refuses what Binance refuses, and hands the rest to the engine."""

import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from simulator.account import symbol_margin
from simulator.entry import enter, take
from simulator.errors import VenueError, refuse
from simulator.events import algo_event, order_event
from simulator.filters import MAX_CONDITIONAL_ORDERS, TIMES_IN_FORCE, SymbolRules
from simulator.ledger import book_fill, end_order
from simulator.money import ZERO, from_steps, to_steps
from simulator.orders import AlgoOrder, Order
from simulator.personality import Personality
from simulator.state import Change
from simulator.venue import Venue

Params = Mapping[str, str]
Entry = TypeVar("Entry", Order, AlgoOrder)
CONDITIONAL_TYPES = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")


def need(params: Params, name: str) -> str:
    """A mandatory parameter."""
    value = params.get(name, "")
    if value == "":
        raise refuse(-1102, name=name)
    return value


def number(params: Params, name: str) -> Decimal:
    """A mandatory decimal parameter."""
    try:
        value = Decimal(need(params, name))
    except InvalidOperation:
        raise refuse(-1102, name=name) from None
    if not value.is_finite():
        raise refuse(-1102, name=name)
    return value


def flag(params: Params, name: str) -> bool:
    """An optional boolean parameter."""
    return params.get(name, "false").lower() == "true"


def choice(value: str, accepted: tuple[str, ...] | list[str], code: int) -> str:
    """A value of a closed list, or the code's refusal."""
    if value not in accepted:
        raise refuse(code)
    return value


def client_id_from(rule: Personality, params: Params, name: str, fallback: str) -> str:
    """The client's id for an order, checked against the venue's pattern; the venue's own where none was given."""
    given = params.get(name, "")
    if not given:
        return fallback
    if not re.match(rule.client_id_pattern, given):
        raise refuse(-4015) if len(given) > 36 else refuse(-1100, name=name, legal=rule.client_id_pattern)
    return given


def check_id_is_free(rule: Personality, same: Iterable[Order | AlgoOrder]) -> None:
    """Refuse an id that is taken, for as long as this kind of venue keeps ids unique."""
    taken = [each for each in same if each.is_open or rule.id_uniqueness == "ever"]
    if taken and rule.id_uniqueness != "none":
        raise VenueError(*rule.duplicate)


def shown_from(venue: Venue, rule: Personality, now_ms: int) -> int:
    """The instant from which queries show what was acknowledged now; 0 where that is at once."""
    return now_ms + int(rule.shows_orders_after_s * venue.clock.rate * 1000) if rule.shows_orders_after_s else 0


def place_order(venue: Venue, api_key: str, params: Params, now_ms: int) -> Order:
    """Accept a LIMIT or MARKET order, or refuse it; on return it is matched, kept and told."""
    rules = venue.rules_for(params.get("symbol"))
    order = _read_order(venue, api_key, params, rules, now_ms)
    _check_order(venue, order, rules, now_ms)
    fault = venue.faults.consult(
        "visibility", now_ms, account=api_key, symbol=order.symbol, client_id=order.client_id, type=order.type
    )
    if fault is not None:
        order.visible_ms = now_ms + int(float(fault.params.get("seconds", 5)) * 1000)
    change = Change()
    enter(venue, order, now_ms, change)
    venue.commit(change, now_ms)
    return order


def _read_order(venue: Venue, api_key: str, params: Params, rules: SymbolRules, now_ms: int) -> Order:
    side = choice(need(params, "side"), ("BUY", "SELL"), -1117)
    type_ = need(params, "type")
    if type_ in CONDITIONAL_TYPES:
        raise refuse(-1116)  # since December 2025 these go to algoOrder
    choice(type_, ("LIMIT", "MARKET"), -1116)
    if params.get("positionSide", "BOTH") != "BOTH":
        raise refuse(-4061)
    is_limit = type_ == "LIMIT"
    time_in_force = choice(need(params, "timeInForce"), TIMES_IN_FORCE, -1115) if is_limit else "GTC"
    price = number(params, "price") if is_limit else ZERO
    qty = number(params, "quantity")
    rules.check_quantity(qty)
    if is_limit:
        rules.check_price(price)
    order_id = venue.take_id("order")
    rule = venue.personality_of(api_key)
    client_id = client_id_from(rule, params, rule.client_id_field, f"sim_{order_id}")
    return Order(
        order_id, api_key, client_id, rules.symbol, side, type_, time_in_force, qty, price, flag(params, "reduceOnly"),
        now_ms, now_ms, original_type=type_, visible_ms=shown_from(venue, rule, now_ms),
    )  # fmt: skip


def _check_order(venue: Venue, order: Order, rules: SymbolRules, now_ms: int) -> None:
    if not venue.accepts(order.symbol, now_ms, order.reduce_only):
        raise refuse(-4108)
    account = venue.account(order.account)
    same = venue.orders_by_client_id.get((order.account, order.client_id), [])
    check_id_is_free(venue.personality_of(order.account), (venue.orders[n] for n in same))
    mark = venue.last_price(order.symbol, now_ms)
    if order.price:
        rules.check_band(order.price, order.is_buy, mark)
    rules.check_notional(order.qty, order.price or mark, order.reduce_only)
    if order.reduce_only and not account.position(order.symbol).reducible_by(order.is_buy):
        raise refuse(-2022)
    _check_immediacy(venue, order, rules, now_ms)
    if not order.reduce_only:
        check_margin(venue, order, order, now_ms)


def _check_immediacy(venue: Venue, order: Order, rules: SymbolRules, now_ms: int) -> None:
    if order.time_in_force not in ("FOK", "GTX"):
        return
    limit = to_steps(order.price, rules.price_scale)
    offered = venue.books[order.symbol].available(now_ms, order.is_buy, limit)
    if order.time_in_force == "GTX" and offered:
        raise refuse(-5022)
    if order.time_in_force == "FOK" and offered < to_steps(order.qty, rules.qty_scale):
        raise refuse(-5021)


def check_margin(venue: Venue, order: Order, wanted: Order, now_ms: int) -> None:
    """Refuse an order that the available margin or the leverage's largest position does not bear."""
    account, rules = venue.account(order.account), venue.rules[order.symbol]
    mark = venue.last_price(order.symbol, now_ms)
    resting = [o for o in venue.open_orders[order.symbol].values() if o.account == order.account and o is not order]
    leverage, position = account.leverage(order.symbol), account.position(order.symbol)
    before = symbol_margin(position, resting, leverage, mark, rules)
    after = symbol_margin(position, [*resting, wanted], leverage, mark, rules)
    exposure = max(abs(after.notional + after.bid_notional), abs(after.notional - after.ask_notional))
    if exposure > rules.max_notional(leverage) and after.initial > before.initial:
        raise refuse(-2027)
    if after.initial - before.initial > venue.margins_of(account, now_ms).available:
        raise refuse(-2019)


def find_order(venue: Venue, api_key: str, params: Params, now_ms: int, code: int = -2013) -> Order:
    """The order that a request names by orderId or origClientOrderId, if the venue shows it yet and still."""
    rules = venue.rules_for(params.get("symbol"))
    wanted = params.get(venue.personality_of(api_key).client_id_query_field, "")
    if params.get("orderId", "").isdigit():
        found = [venue.orders.get(int(params["orderId"]))]
    elif wanted:
        found = [venue.orders[n] for n in venue.orders_by_client_id.get((api_key, wanted), [])]
    else:
        raise refuse(-1102, name="orderId")
    mine = [o for o in found if o and o.account == api_key and o.symbol == rules.symbol and is_shown(venue, o, now_ms)]
    if not mine:
        raise refuse(code)
    return _meant(mine)


def _meant(named: Sequence[Entry]) -> Entry:
    """Of several orders under one id the newest that is open, else the newest."""
    return next((each for each in reversed(named) if each.is_open), named[-1])


def is_shown(venue: Venue, order: Order, now_ms: int) -> bool:
    """Whether queries find an order: not yet under a visibility fault, no more when it is old."""
    age = now_ms - order.updated_ms
    rule = venue.personality_of(order.account)
    if order.visible_ms > now_ms or (not order.is_open and age > rule.forgets_orders_after_ms):
        return False
    return not (
        order.status in ("CANCELED", "EXPIRED") and not order.filled and age > rule.forgets_unfilled_orders_after_ms
    )


def cancel_order(venue: Venue, api_key: str, params: Params, now_ms: int) -> Order:
    """Cancel an open order; done or unknown ones are refused alike."""
    order = find_order(venue, api_key, params, now_ms, code=-2011)
    if not order.is_open:
        raise refuse(-2011)
    change = Change()
    fault = venue.faults.consult("cancel", now_ms, account=api_key, symbol=order.symbol, client_id=order.client_id)
    if fault is not None and fault.kind == "fill_during_cancel":
        _fill_now(venue, order, float(fault.params.get("fraction", 1.0)), now_ms, change)
    if order.is_open:
        end_order(venue, order, "CANCELED", now_ms, change)
    venue.commit(change, now_ms)
    if order.status == "FILLED":
        raise refuse(-2011)
    if fault is not None and fault.kind == "late_fill":
        order.frozen_until_ms = now_ms + int(float(fault.params.get("seconds", 5)) * 1000)
        venue.late_fills.append((order.order_id, float(fault.params.get("fraction", 1.0))))
    return order


def _fill_now(venue: Venue, order: Order, fraction: float, now_ms: int, change: Change) -> None:
    rules = venue.rules[order.symbol]
    wanted = order.remaining
    if order.reduce_only:
        wanted = min(wanted, venue.accounts[order.account].position(order.symbol).reducible_by(order.is_buy))
    if not wanted:
        return
    size = max(1, int(to_steps(wanted, rules.qty_scale) * fraction))
    price = order.price or venue.last_price(order.symbol, now_ms)
    book_fill(venue, order, price, from_steps(size, rules.qty_scale), True, now_ms, change)


def book_late_fills(venue: Venue, now_ms: int) -> None:
    """Book the fills that a fault lets come after the cancel was acknowledged."""
    for entry in list(venue.late_fills):
        order = venue.orders[entry[0]]
        if order.frozen_until_ms <= now_ms:
            venue.late_fills.remove(entry)
            change = Change()
            _fill_now(venue, order, entry[1], now_ms, change)
            venue.commit(change, now_ms)


def cancel_all(venue: Venue, api_key: str, symbol: str, now_ms: int) -> int:
    """Cancel an account's open orders of a symbol; how many there were."""
    rules = venue.rules_for(symbol)
    change = Change()
    mine = [o for o in venue.open_orders[rules.symbol].values() if o.account == api_key]
    for order in mine:
        end_order(venue, order, "CANCELED", now_ms, change)
    venue.commit(change, now_ms)
    return len(mine)


def amend_order(venue: Venue, api_key: str, params: Params, now_ms: int) -> Order:
    """Change price and size of an open limit order; it may match at once at its new price."""
    order = find_order(venue, api_key, params, now_ms, code=-2013)
    if not order.is_open or order.type != "LIMIT":
        raise refuse(-2013)
    rules = venue.rules[order.symbol]
    price, qty = number(params, "price"), number(params, "quantity")
    rules.check_price(price)
    rules.check_quantity(qty)
    if (price, qty) == (order.price, order.qty):
        raise refuse(-5027)
    if qty <= order.filled:
        change = Change()
        end_order(venue, order, "CANCELED", now_ms, change)
        venue.commit(change, now_ms)
        return order
    wanted = Order.load(order.dump())
    wanted.price, wanted.qty = price, qty
    rules.check_band(price, order.is_buy, venue.last_price(order.symbol, now_ms))
    rules.check_notional(qty, price, order.reduce_only)
    _check_immediacy(venue, wanted, rules, now_ms)
    if not order.reduce_only:
        check_margin(venue, order, wanted, now_ms)
    _amend(venue, order, price, qty, now_ms)
    return order


def _amend(venue: Venue, order: Order, price: Decimal, qty: Decimal, now_ms: int) -> None:
    change = Change()
    order.price, order.qty, order.updated_ms = price, qty, now_ms
    venue.interest_version += 1
    venue.touch_order(change, order)
    change.events.append((order.account, order_event(order, "AMENDMENT", now_ms)))
    venue.commit(change, now_ms)
    rules = venue.rules[order.symbol]
    if venue.books[order.symbol].available(now_ms, order.is_buy, to_steps(price, rules.price_scale)):
        change = Change()
        take(venue, order, order.price, now_ms, change)
        venue.commit(change, now_ms)


def place_algo(venue: Venue, api_key: str, params: Params, now_ms: int) -> AlgoOrder:
    """Accept a conditional order, or refuse it; on return it waits for its price."""
    rules = venue.rules_for(params.get("symbol"))
    if params.get("algoType", "CONDITIONAL") != "CONDITIONAL":
        raise refuse(-1130, name="algoType")
    algo = _read_algo(venue, api_key, params, rules, now_ms)
    waiting = [a for a in venue.open_algos[algo.symbol].values() if a.account == api_key]
    same = venue.algos_by_client_id.get((api_key, algo.client_id), [])
    rule = venue.personality_of(api_key)
    check_id_is_free(rule, (venue.algos[n] for n in same))
    algo.visible_ms = shown_from(venue, rule, now_ms)
    if len(waiting) >= MAX_CONDITIONAL_ORDERS:
        raise refuse(-4045)
    if algo.close_position and any(a.close_position and a.side == algo.side and a.type == algo.type for a in waiting):
        raise refuse(-4130)
    if algo.fires_at(venue.last_price(algo.symbol, now_ms)):
        raise refuse(-2021)
    fault = venue.faults.consult("visibility", now_ms, account=api_key, symbol=algo.symbol, client_id=algo.client_id)
    if fault is not None:
        algo.visible_ms = now_ms + int(float(fault.params.get("seconds", 5)) * 1000)
    change = Change()
    venue.index_algo(algo)
    venue.touch_algo(change, algo)
    change.events.append((api_key, algo_event(algo, now_ms)))
    venue.commit(change, now_ms)
    return algo


def _read_algo(venue: Venue, api_key: str, params: Params, rules: SymbolRules, now_ms: int) -> AlgoOrder:
    side = choice(need(params, "side"), ("BUY", "SELL"), -1117)
    type_ = choice(need(params, "type"), CONDITIONAL_TYPES, -1116)
    if params.get("positionSide", "BOTH") != "BOTH":
        raise refuse(-4061)
    if not venue.accepts(rules.symbol, now_ms, flag(params, "reduceOnly") or flag(params, "closePosition")):
        raise refuse(-4108)
    trigger = number(params, "triggerPrice")
    rules.check_price(trigger, "triggerPrice")
    close_position = flag(params, "closePosition")
    qty, price = ZERO, ZERO
    if close_position and params.get("quantity"):
        raise refuse(-4137)
    if not close_position:
        qty = number(params, "quantity")
        rules.check_quantity(qty)
    if not type_.endswith("_MARKET"):
        price = number(params, "price")
        rules.check_price(price)
    if qty:
        rules.check_notional(qty, price or trigger, flag(params, "reduceOnly"))
    algo_id = venue.take_id("algo")
    return AlgoOrder(
        algo_id, api_key, client_id_from(venue.personality_of(api_key), params, "clientAlgoId", f"sim_{algo_id}"), rules.symbol, side, type_,
        choice(params.get("timeInForce", "GTC"), TIMES_IN_FORCE, -1115), qty, price, trigger,
        flag(params, "reduceOnly"), close_position,
        choice(params.get("workingType", "CONTRACT_PRICE"), ("CONTRACT_PRICE", "MARK_PRICE"), -1102), now_ms, now_ms,
    )  # fmt: skip


def find_algo(venue: Venue, api_key: str, params: Params, now_ms: int, code: int = -2013) -> AlgoOrder:
    """The conditional order that a request names by algoId or clientAlgoId."""
    if params.get("algoId", "").isdigit():
        found = [venue.algos.get(int(params["algoId"]))]
    elif params.get("clientAlgoId"):
        found = [venue.algos[n] for n in venue.algos_by_client_id.get((api_key, params["clientAlgoId"]), [])]
    else:
        raise refuse(-1102, name="algoId")
    mine = [a for a in found if a and a.account == api_key and a.visible_ms <= now_ms]
    if not mine:
        raise refuse(code)
    return _meant(mine)


def cancel_algo(venue: Venue, api_key: str, params: Params, now_ms: int) -> AlgoOrder:
    """Cancel a waiting conditional order."""
    algo = find_algo(venue, api_key, params, now_ms, code=-2011)
    if not algo.is_open:
        raise refuse(-2011)
    change = Change()
    _cancel_algo(venue, algo, now_ms, change)
    venue.commit(change, now_ms)
    return algo


def _cancel_algo(venue: Venue, algo: AlgoOrder, now_ms: int, change: Change) -> None:
    algo.status, algo.updated_ms = "CANCELED", now_ms
    venue.touch_algo(change, algo)
    change.events.append((algo.account, algo_event(algo, now_ms)))


def cancel_all_algos(venue: Venue, api_key: str, symbol: str, now_ms: int) -> None:
    """Cancel an account's waiting conditional orders of a symbol."""
    rules = venue.rules_for(symbol)
    change = Change()
    for algo in [a for a in venue.open_algos[rules.symbol].values() if a.account == api_key]:
        _cancel_algo(venue, algo, now_ms, change)
    venue.commit(change, now_ms)
