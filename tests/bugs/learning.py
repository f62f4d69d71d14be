"""Mistakes in booking what the venue did."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from common.domain import fill as fills
from common.domain import position as positions
from common.domain.order import LIVE, TERMINAL, OrderRole, OrderStatus
from common.domain.signal import Side
from common.services import learn, protect_position, reconcile_account
from common.store.ledger import Fills, Positions
from tests.bugs.garden import bug, set_on, swap


@bug("I5", "a fill that is told twice is booked twice")
def fill_booked_twice() -> None:
    original = Fills.add

    def add(self: Any, fill: Any) -> bool:
        known = [item for item in self.of_order(fill.order_id) if item.trade_id.startswith(fill.trade_id)]
        return bool(original(self, replace(fill, trade_id=fill.trade_id + "'" * len(known))))

    set_on(Fills, "add", add)


@bug("I7", "a position is what was ordered, not what was filled")
def position_from_the_order() -> None:
    original = positions.fold

    def fold(position: Any, fills: Any, fundings: Any = ()) -> Any:
        after = original(position, fills, fundings)
        return replace(after, quantity=after.quantity * 2) if after.is_open else after

    swap(original, fold)


@bug("I5", "a fill that comes after the order's end is ignored")
def late_fill_ignored() -> None:
    original = learn._owner

    def owner(uow: Any, account: Any, item: Any) -> Any:
        order = original(uow, account, item)
        return None if order is not None and order.status in {OrderStatus.PARTIALLY_FILLED, *TERMINAL} else order

    swap(original, owner)


@bug("I5", "a fill of nobody is given to whatever order is working on the instrument")
def strange_fill_adopted() -> None:
    original = learn._owner

    def owner(uow: Any, account: Any, item: Any) -> Any:
        found = original(uow, account, item)
        if found is not None:
            return found
        live = [o for o in uow.orders.live(account.id, item.instrument) if o.status in LIVE]
        return live[0] if live else None

    swap(original, owner)


@bug("I5", "fees are left out")
def fees_left_out() -> None:
    original = learn._fill
    swap(original, lambda account, order, item: replace(original(account, order, item), fee=Decimal(0)))


@bug("I1", "an entry is done with once the first part of it is filled")
def first_fill_ends_the_order() -> None:
    original = fills.status_after

    def status_after(order: Any, quantity: Any) -> Any:
        return OrderStatus.FILLED if quantity > 0 else original(order, quantity)

    swap(original, status_after)


@bug("I15", "the profit of a short has the wrong sign")
def short_profit_inverted() -> None:
    original = positions.fold

    def fold(position: Any, fills: Any, fundings: Any = ()) -> Any:
        after = original(position, fills, fundings)
        return replace(after, gross_profit=-after.gross_profit) if after.side is Side.SHORT else after

    swap(original, fold)


@bug("I7", "a position counts as closed when its exit is asked for")
def closed_when_asked() -> None:
    from common.services import close_position as room

    original = room.close_position

    def close(fleet: Any, uow: Any, position: Any, reason: Any, now: Any) -> Any:
        order = original(fleet, uow, position, reason, now)
        if order is not None:
            current = uow.positions.get(position.id)
            done = replace(
                current, quantity=Decimal(0), closed_at=now, close_reason=reason, version=current.version + 1
            )
            uow.positions.save(done)
        return order

    swap(original, close)
    swap(protect_position.protect, lambda fleet, uow, position, now: None)


@bug("I7", "fills are folded in the order they arrive in, and a close before its entry counts nothing")
def close_before_entry_counts_nothing() -> None:
    original = positions.fold

    def fold(position: Any, fills: Any, fundings: Any = ()) -> Any:
        shuffled = [replace(f, occurred_at=f.occurred_at.replace(second=59 - f.occurred_at.second)) for f in fills]
        return original(position, shuffled, fundings)

    swap(original, fold)


@bug("Q", "an order of ours that a colleague placed is taken for a stranger's")
def ours_is_quarantined() -> None:
    original = reconcile_account._adopt

    def adopt(fleet: Any, uow: Any, account: Any, item: Any, now: Any) -> None:
        known = uow.orders.by_client_id(item.client_order_id)
        if known is not None and known.intent.role is OrderRole.STOP and known.venue_order_id is None:
            detail = "was not placed by this worker"
            reconcile_account._quarantine(
                uow, account, item.instrument, item.venue_order_id, item.client_order_id, detail, now
            )
            return
        original(fleet, uow, account, item, now)

    swap(original, adopt)


@bug("Q", "a stranger's order is left alone")
def strangers_left_alone() -> None:
    swap(reconcile_account._quarantine, lambda *arguments: None)


@bug("I5", "funding payments are not booked")
def funding_not_booked() -> None:
    swap(learn.learn_fundings, lambda fleet, uow, account, seen: None)


@bug("I5", "funding is asked for only while something is held")
def funding_asked_for_only_while_held() -> None:
    set_on(Positions, "closed_since", lambda self, account_id, since: [])
