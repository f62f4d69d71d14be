"""What a venue closes by itself: liquidation, deleveraging and delisting, as orders of the venue's own in our ledger."""

from __future__ import annotations

from datetime import datetime

from common.domain.order import Order, OrderIntent, OrderRole, OrderStatus, OrderType, side_of
from common.domain.position import Position
from common.domain.signal import derived_id
from common.domain.tenant import Account
from common.ports.venue import VenueFill
from common.store import UnitOfWork


def forced_order(uow: UnitOfWork, account: Account, item: VenueFill, now: datetime) -> Order | None:
    """The venue's order behind `item`, which it forced upon a position of ours; None where that is not what happened.

    Where several positions could be meant, the largest is: the venue knows one per instrument, and a difference that
    is left is the reconciler's. The order ends as it begins, filled; later fills of it find it by the venue's id.
    """
    if item.forced_by is None or not item.client_order_id:
        return None
    held = [position for position in uow.positions.open(account.id) if _is_reduced(position, item)]
    if not held:
        return None
    position = max(held, key=lambda one: one.quantity)
    identity = derived_id(f"forced|{account.id}|{item.client_order_id}")
    intent = OrderIntent(
        order_id=identity,
        tenant_id=account.tenant_id,
        account_id=account.id,
        venue=account.venue,
        instrument=item.instrument,
        role=OrderRole.EXIT,
        side=item.side,
        type=OrderType.MARKET,
        quantity=item.quantity,
        price=item.price,
        trigger_price=None,
        client_order_id=item.client_order_id,
        signal_id=position.signal_id,
        position_id=position.id,
        leverage=position.leverage,
        halt_epoch=0,
        expires_at=now,
    )
    return Order(
        intent=intent,
        status=OrderStatus.FILLED,
        version=0,
        created_at=now,
        venue_order_id=item.venue_order_id,
        reason=item.forced_by.value,
    )


def _is_reduced(position: Position, item: VenueFill) -> bool:
    return position.instrument == item.instrument and side_of(position.side, OrderRole.EXIT) is item.side
