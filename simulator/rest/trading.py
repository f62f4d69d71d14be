"""Signed routes that place, change, cancel and show orders, conditional orders and trades."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from simulator import desk
from simulator.errors import VenueError, refuse
from simulator.money import ZERO
from simulator.orders import AlgoOrder, Fill, Order
from simulator.rest.market_data import limited, whole
from simulator.rest.route import Access, Call, Route, Routes, by_symbol, fixed

WEEK_MS = 7 * 86_400_000
BATCH_MOST = 5
Entry = TypeVar("Entry", Order, Fill, AlgoOrder)


def post_order(call: Call) -> Any:
    """POST order: acknowledged as the venue's personality says."""
    order = desk.place_order(call.venue, call.api_key, call.params, call.now_ms)
    answer = order.describe()
    if (
        call.venue.personality_of(call.api_key).acknowledgement == "ack"
        or call.params.get("newOrderRespType", "ACK") == "ACK"
    ):
        return answer | {"status": "NEW", "executedQty": "0", "cumQty": "0", "cumQuote": "0", "avgPrice": "0.00"}
    return answer


def get_order(call: Call) -> Any:
    """GET order."""
    return desk.find_order(call.venue, call.api_key, call.params, call.now_ms).describe()


def get_open_order(call: Call) -> Any:
    """GET openOrder."""
    order = desk.find_order(call.venue, call.api_key, call.params, call.now_ms)
    if not order.is_open:
        raise refuse(-2013)
    return order.describe()


def delete_order(call: Call) -> Any:
    """DELETE order."""
    return desk.cancel_order(call.venue, call.api_key, call.params, call.now_ms).describe()


def put_order(call: Call) -> Any:
    """PUT order."""
    return desk.amend_order(call.venue, call.api_key, call.params, call.now_ms).describe()


def delete_all(call: Call) -> Any:
    """DELETE allOpenOrders."""
    desk.cancel_all(call.venue, call.api_key, desk.need(call.params, "symbol"), call.now_ms)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def _mine(call: Call) -> list[Order]:
    venue = call.venue
    wanted = call.params.get("symbol")
    if wanted:
        venue.rules_for(wanted)
    orders = (venue.orders[n] for n in venue.orders_of[call.api_key])
    return [o for o in orders if (not wanted or o.symbol == wanted) and desk.is_shown(venue, o, call.now_ms)]


def open_orders(call: Call) -> Any:
    """GET openOrders."""
    venue = call.venue
    wanted = call.params.get("symbol")
    if wanted:
        venue.rules_for(wanted)
    found = [
        o for symbol, some in venue.open_orders.items() if not wanted or symbol == wanted
        for o in some.values() if o.account == call.api_key and desk.is_shown(venue, o, call.now_ms)
    ]  # fmt: skip
    return [o.describe() for o in sorted(found, key=lambda o: o.order_id)]


def all_orders(call: Call) -> Any:
    """GET allOrders: from an id, or a span of at most a week, or the latest."""
    desk.need(call.params, "symbol")
    return [
        o.describe() for o in _span(call, _mine(call), lambda o: o.order_id, "orderId", lambda o: o.created_ms, 500)
    ]


def user_trades(call: Call) -> Any:
    """GET userTrades."""
    rules = call.venue.rules_for(desk.need(call.params, "symbol"))
    mine = [f for f in call.venue.fills[call.api_key] if f.symbol == rules.symbol and f.visible_ms <= call.now_ms]
    wanted = whole(call, "orderId", None)
    if wanted is not None:
        mine = [f for f in mine if f.order_id == wanted]
    return [f.describe() for f in _span(call, mine, lambda f: f.trade_id, "fromId", lambda f: f.at_ms, 500)]


def _span(
    call: Call,
    entries: list[Entry],
    id_of: Callable[[Entry], int],
    id_name: str,
    time_of: Callable[[Entry], int],
    default: int,
) -> list[Entry]:
    limit = limited(call, default, 1000)
    from_id = whole(call, id_name, None)
    start, end = whole(call, "startTime", None), whole(call, "endTime", None)
    if from_id is not None:
        return [e for e in entries if id_of(e) >= from_id][:limit]
    if start is not None and end is not None and end - start > WEEK_MS:
        raise VenueError(-4165, "Invalid timestamp search range, interval must be within 7 days.")
    if start is None and end is None:
        return entries[-limit:]
    low = (end or 0) - WEEK_MS if start is None else start
    high = low + WEEK_MS if end is None else end
    return [e for e in entries if low <= time_of(e) <= high][:limit]


def post_algo(call: Call) -> Any:
    """POST algoOrder."""
    return desk.place_algo(call.venue, call.api_key, call.params, call.now_ms).describe()


def _algo_words(call: Call, algo: AlgoOrder) -> dict[str, Any]:
    order = call.venue.orders.get(algo.order_id)
    return algo.describe(order.average if order else ZERO)


def get_algo(call: Call) -> Any:
    """GET algoOrder."""
    return _algo_words(call, desk.find_algo(call.venue, call.api_key, call.params, call.now_ms))


def delete_algo(call: Call) -> Any:
    """DELETE algoOrder."""
    algo = desk.cancel_algo(call.venue, call.api_key, call.params, call.now_ms)
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}


def _my_algos(call: Call) -> list[AlgoOrder]:
    venue = call.venue
    wanted = call.params.get("symbol")
    if wanted:
        venue.rules_for(wanted)
    algos = (venue.algos[n] for n in venue.algos_of[call.api_key])
    return [a for a in algos if (not wanted or a.symbol == wanted) and a.visible_ms <= call.now_ms]


def open_algos(call: Call) -> Any:
    """GET openAlgoOrders."""
    return [_algo_words(call, a) for a in _my_algos(call) if a.is_open]


def all_algos(call: Call) -> Any:
    """GET allAlgoOrders."""
    desk.need(call.params, "symbol")
    found = _span(call, _my_algos(call), lambda a: a.algo_id, "algoId", lambda a: a.created_ms, 500)
    return [_algo_words(call, a) for a in found]


def delete_all_algos(call: Call) -> Any:
    """DELETE algoOpenOrders."""
    desk.cancel_all_algos(call.venue, call.api_key, desk.need(call.params, "symbol"), call.now_ms)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def batch_orders(call: Call) -> Any:
    """POST batchOrders: each leg by itself, its refusal in its place."""
    try:
        legs = orjson.loads(desk.need(call.params, "batchOrders"))
    except orjson.JSONDecodeError:
        raise refuse(-1130, name="batchOrders") from None
    if not isinstance(legs, list) or not 1 <= len(legs) <= BATCH_MOST:
        raise refuse(-1130, name="batchOrders")
    out: list[Any] = []
    for leg in legs:
        params = {name: str(value) for name, value in leg.items()}
        try:
            out.append(desk.place_order(call.venue, call.api_key, params, call.now_ms).describe())
        except VenueError as error:
            out.append({"code": error.code, "msg": error.msg})
    return out


def countdown_cancel_all(call: Call) -> Any:
    """POST countdownCancelAll: the dead man's switch; its countdown runs by the wall clock, as a heartbeat does."""
    symbol = call.venue.rules_for(desk.need(call.params, "symbol")).symbol
    countdown = whole(call, "countdownTime", None)
    if countdown is None or countdown < 0:
        raise refuse(-1102, name="countdownTime")
    if countdown:
        call.venue.countdowns[call.api_key, symbol] = call.now_ms + int(countdown * call.venue.clock.rate)
    else:
        call.venue.countdowns.pop((call.api_key, symbol), None)
    return {"symbol": symbol, "countdownTime": str(countdown)}


def _signed(handle: Any, weight: Any, is_order: bool = False, changes: bool = False) -> Route:
    return Route(handle, Access.SIGNED, weight, is_order, changes)


ROUTES: Routes = {
    ("POST", "/fapi/v1/order"): _signed(post_order, fixed(1), is_order=True, changes=True),
    ("GET", "/fapi/v1/order"): _signed(get_order, fixed(1)),
    ("DELETE", "/fapi/v1/order"): _signed(delete_order, fixed(1), changes=True),
    ("PUT", "/fapi/v1/order"): _signed(put_order, fixed(1), is_order=True, changes=True),
    ("GET", "/fapi/v1/openOrder"): _signed(get_open_order, fixed(1)),
    ("GET", "/fapi/v1/openOrders"): _signed(open_orders, by_symbol(1, 40)),
    ("GET", "/fapi/v1/allOrders"): _signed(all_orders, fixed(5)),
    ("DELETE", "/fapi/v1/allOpenOrders"): _signed(delete_all, fixed(1), changes=True),
    ("POST", "/fapi/v1/batchOrders"): _signed(batch_orders, fixed(5), is_order=True, changes=True),
    ("POST", "/fapi/v1/countdownCancelAll"): _signed(countdown_cancel_all, fixed(10), changes=True),
    ("GET", "/fapi/v1/userTrades"): _signed(user_trades, fixed(5)),
    ("POST", "/fapi/v1/algoOrder"): _signed(post_algo, fixed(1), is_order=True, changes=True),
    ("GET", "/fapi/v1/algoOrder"): _signed(get_algo, fixed(1)),
    ("DELETE", "/fapi/v1/algoOrder"): _signed(delete_algo, fixed(1), changes=True),
    ("GET", "/fapi/v1/openAlgoOrders"): _signed(open_algos, by_symbol(1, 40)),
    ("GET", "/fapi/v1/allAlgoOrders"): _signed(all_algos, fixed(5)),
    ("DELETE", "/fapi/v1/algoOpenOrders"): _signed(delete_all_algos, fixed(1), changes=True),
}
