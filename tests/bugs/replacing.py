"""Mistakes in putting one order in another's place, and in believing what a venue tells by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from common.services import close_position, closing, hear_account, move_stop
from common.services.follow_accounts import Visits
from common.services.learn import learn
from common.services.protect_position import stops_of
from tests.bugs.garden import bug, set_on, swap


@bug("I8", "a stop is cancelled before the one that takes its place rests")
def old_stop_cancelled_first() -> None:
    original = move_stop.move_stop

    def move(fleet: Any, uow: Any, position: Any, mark: Any, now: Any) -> Any:
        before = stops_of(uow, position)
        after = original(fleet, uow, position, mark, now)
        if after is not None:
            for order in before:
                close_position.request_cancel(uow, order, now, cause=after.id)
        return after

    swap(original, move)


@bug("I8", "a stop that only covers a part takes the place of one that covers everything")
def part_of_a_stop_replaces_all_of_it() -> None:
    original = closing.add_closing_order

    def add(fleet: Any, uow: Any, position: Any, role: Any, quantity: Any, **named: Any) -> Any:
        return original(fleet, uow, position, role, quantity / 2, **named)

    set_on(move_stop, "add_closing_order", add)
    _cancel_whatever_is_behind()


def _cancel_whatever_is_behind() -> None:
    original = move_stop._cancel_superfluous

    def cancel(uow: Any, position: Any, stops: Any, now: Any) -> bool:
        return bool(original(uow, replace(position, quantity=position.quantity / 2), stops, now))

    swap(original, cancel)


@bug("I1", "a fill that the stream tells is booked beside the one that was asked for")
def stream_fill_booked_twice() -> None:
    def twice(fleet: Any, uow: Any, account: Any, seen: Any, fills: Any) -> Any:
        renamed = [replace(fill, trade_id=f"ws-{fill.trade_id}") for fill in fills]
        return learn(fleet, uow, account, seen, renamed)

    set_on(hear_account, "learn", twice)


@bug("GAP", "a gap in the stream is logged and nobody asks what was missed")
def gap_not_refilled() -> None:
    set_on(Visits, "owe", lambda self, tenant_id, account_id, *, compare=False: None)
