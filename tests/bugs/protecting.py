"""Mistakes in guarding and leaving positions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from common.domain import exits
from common.domain import order as orders
from common.domain.order import OrderRole, OrderSide
from common.domain.position import CloseReason
from common.services import close_position, closing, monitor_account, protect_position
from tests.bugs.garden import bug, swap


@bug("I8", "no stop is placed")
def stop_not_placed() -> None:
    swap(protect_position.protect, lambda fleet, uow, position, now: None)


@bug("I8", "a second partial fill gets no second stop")
def stop_not_resized() -> None:
    original = protect_position.protect

    def protect(fleet: Any, uow: Any, position: Any, now: Any) -> Any:
        return None if protect_position.stops_of(uow, position) else original(fleet, uow, position, now)

    swap(original, protect)


@bug("I8", "the stop of a closed position stays at the venue")
def orphan_stop() -> None:
    swap(close_position.cancel_leftovers, lambda uow, position, now: None)


@bug("I8", "stops are on the side of the entry")
def stop_on_the_wrong_side() -> None:
    original = orders.side_of

    def side_of(side: Any, role: Any) -> Any:
        right = original(side, role)
        return (OrderSide.BUY if right is OrderSide.SELL else OrderSide.SELL) if role is OrderRole.STOP else right

    swap(original, side_of)


@bug("I8", "the stop rests where another position's was")
def stop_of_an_old_position() -> None:
    original = closing.add_closing_order
    last: dict[Any, Any] = {}

    def add(fleet: Any, uow: Any, position: Any, role: Any, quantity: Any, **named: Any) -> Any:
        if role is OrderRole.STOP:
            key = (position.account_id, position.instrument, position.side)
            named["trigger"], last[key] = last.get(key, named["trigger"]), named["trigger"]
        return original(fleet, uow, position, role, quantity, **named)

    swap(original, add)


@bug("I8", "the time to leave is not looked at")
def holds_for_ever() -> None:
    original = exits.decide_exit

    def decide(position: Any, mark: Any, **named: Any) -> Any:
        decision = original(position, mark, **named)
        return None if decision is not None and decision.reason is CloseReason.TIME else decision

    swap(original, decide)


@bug("I9", "FLATTEN flattens nothing")
def flatten_ignored() -> None:
    original = monitor_account._reason_to_leave

    def reason(*arguments: Any) -> Any:
        found = original(*arguments)
        return None if found is CloseReason.HALT else found

    swap(original, reason)


@bug("I8", "an exit is asked for once and never again, whatever became of it")
def one_exit_only() -> None:
    original = close_position.close_position

    def close(fleet: Any, uow: Any, position: Any, reason: Any, now: Any) -> Any:
        if any(order.intent.role is OrderRole.EXIT for order in uow.orders.of_position(position.id)):
            return None
        return original(fleet, uow, position, reason, now)

    swap(original, close)


@bug("I8", "half of the position is left uncovered")
def half_a_stop() -> None:
    original = protect_position.protect

    def protect(fleet: Any, uow: Any, position: Any, now: Any) -> Any:
        return original(fleet, uow, replace(position, quantity=position.quantity / 2), now)

    swap(original, protect)


@bug("I8", "the stop is cancelled and placed anew at every visit")
def stop_placed_anew_at_every_visit() -> None:
    original = monitor_account._guard

    def guard(fleet: Any, uow: Any, account: Any, seen: Any) -> int:
        guarded = original(fleet, uow, account, seen)
        now = fleet.clock.now()
        for position in uow.positions.open(account.id):
            for order in protect_position.stops_of(uow, position):
                close_position.request_cancel(uow, order, now)
        return int(guarded)

    swap(original, guard)
