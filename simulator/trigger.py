"""What happens when a conditional order's price comes: it becomes an order, or is turned away then."""

from simulator.entry import enter
from simulator.events import algo_event
from simulator.money import ZERO, from_steps, to_steps
from simulator.orders import AlgoOrder, Order
from simulator.state import Change
from simulator.venue import Venue


def fire(venue: Venue, algo: AlgoOrder, at_ms: int, change: Change) -> None:
    """Turn a conditional order into an order in the engine; a reduction without a position ends here."""
    algo.triggered_ms = algo.updated_ms = at_ms
    position = venue.accounts[algo.account].position(algo.symbol)
    reducible = position.reducible_by(algo.is_buy)
    rules = venue.rules[algo.symbol]
    qty = reducible if algo.close_position else algo.qty
    if (algo.close_position or algo.reduce_only) and not reducible:
        _turn_away(venue, algo, "EXPIRED" if algo.close_position else "REJECTED", "Reduce Only reject", change)
        return
    if not (algo.close_position or algo.reduce_only):
        account = venue.accounts[algo.account]
        worth = qty * venue.last_price(algo.symbol, at_ms) / account.leverage(algo.symbol)
        if worth > venue.margins_of(account, at_ms).available and qty > position.reducible_by(algo.is_buy):
            _turn_away(venue, algo, "REJECTED", "Margin is insufficient", change)
            return
    is_market = algo.type.endswith("_MARKET")
    order = Order(
        venue.take_id("order"), algo.account, _client_id(venue, algo), algo.symbol, algo.side,
        "MARKET" if is_market else "LIMIT", algo.time_in_force, from_steps(to_steps(qty, rules.qty_scale), rules.qty_scale),
        ZERO if is_market else algo.price, algo.reduce_only or algo.close_position, at_ms, at_ms,
        close_position=algo.close_position, stop_price=algo.trigger, original_type=algo.type,
        working_type=algo.working_type, algo_id=algo.algo_id,
    )  # fmt: skip
    algo.order_id, algo.status = order.order_id, "TRIGGERED"
    venue.touch_algo(change, algo)
    change.events.append((algo.account, algo_event(algo, at_ms)))
    enter(venue, order, at_ms, change)


def _client_id(venue: Venue, algo: AlgoOrder) -> str:
    return (
        algo.client_id if venue.personality_of(algo.account).triggered_order_keeps_client_id else f"algo_{algo.algo_id}"
    )


def _turn_away(venue: Venue, algo: AlgoOrder, status: str, reason: str, change: Change) -> None:
    algo.status, algo.reason = status, reason
    venue.touch_algo(change, algo)
    change.events.append((algo.account, algo_event(algo, algo.updated_ms)))
