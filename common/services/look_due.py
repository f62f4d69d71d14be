"""When the venue is to be asked about an account: after a while, and at once when something about it is restless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from common.domain.exits import track
from common.domain.money import ZERO
from common.domain.order import Order, OrderRole, OrderStatus
from common.domain.position import Position
from common.domain.tenant import Account
from common.services.flatness import awaited
from common.services.fleet import Fleet
from common.services.learn import live_orders
from common.services.leaving import wish_to_leave
from common.store import UnitOfWork


def is_look_due(fleet: Fleet, uow: UnitOfWork, account: Account, marks: Mapping[str, Decimal]) -> bool:
    """Whether to ask the venue about `account` now that the prices of what it holds are `marks`.

    The balance says when that was last done. A clock that was set back must not keep anybody from looking.
    """
    balance, now = uow.accounts.balance(account.id), fleet.clock.now()
    if balance is None or not timedelta(0) <= now - balance.at < fleet.policy.observe_every:
        return True
    if now - balance.at < fleet.clock.transport(fleet.policy.look_again_s):
        return False
    return account.id in fleet.lacking or _is_restless(fleet, uow, account, marks, now)


def _is_restless(fleet: Fleet, uow: UnitOfWork, account: Account, marks: Mapping[str, Decimal], now: datetime) -> bool:
    """Whether anything is under way, or should be: only positions whose stops rest unmoved at the venue are quiet."""
    live = live_orders(uow, account)
    if any(not _rests(order, marks) for order in live):
        return True
    for position in uow.positions.open(account.id):
        mark = marks.get(position.instrument, ZERO)
        if not _is_covered(position, live) or wish_to_leave(uow, track(position, mark), mark, now) is not None:
            return True
    # What stays open under a halt for long is not of our doing: looking seldom is enough then.
    return any(now < halt.since + fleet.policy.flatten_haste for halt in awaited(uow, account))


def _rests(order: Order, marks: Mapping[str, Decimal]) -> bool:
    """Whether `order` is a stop that waits at the venue, untouched by the price and wanted there."""
    is_wanted = order.intent.role is OrderRole.STOP and order.cancel_requested_at is None
    if not is_wanted or order.status is not OrderStatus.ACCEPTED:
        return False
    mark, trigger = marks.get(order.intent.instrument, ZERO), order.intent.price
    return mark <= ZERO or (mark - trigger) * order.intent.side.sign < ZERO


def _is_covered(position: Position, live: Sequence[Order]) -> bool:
    stops = (order for order in live if order.intent.position_id == position.id)
    return sum((order.remaining for order in stops), ZERO) >= position.quantity
