"""The ledger's side of an order as the machines use it: the project's own Order, its own table of moves."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from uuid import UUID

from common.domain.errors import IllegalMove
from common.domain.fill import status_after
from common.domain.order import ADOPTIONS, TERMINAL, Order, OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType

Seen = tuple[OrderStatus, int]
"""What the venue answers about an order: its state and how much of it is filled."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = UUID(int=0)


@cache
def _order(status: OrderStatus, quantity: int) -> Order:
    intent = OrderIntent(
        order_id=_NOBODY,
        tenant_id=_NOBODY,
        account_id=_NOBODY,
        venue="model",
        instrument="model",
        role=OrderRole.ENTRY,
        side=OrderSide.BUY,
        type=OrderType.MARKET,
        quantity=Decimal(quantity),
        price=Decimal(1),
        trigger_price=None,
        client_order_id="model",
        signal_id=None,
        position_id=_NOBODY,
        leverage=1,
        halt_epoch=0,
        expires_at=_NEVER,
    )
    return Order(intent=intent, status=status, version=0, created_at=_NEVER)


@cache
def moved(status: OrderStatus, *stations: OrderStatus, adopt: bool = False) -> OrderStatus:
    """`status` after it went through `stations` by Order.move; raises IllegalMove where the table holds no such move."""
    order = _order(status, 1)
    for station in stations:
        order = order.move(station, adopt=adopt)
    return order.status


def is_legal(status: OrderStatus, destination: OrderStatus, *, adopt: bool = False) -> bool:
    """Whether Order.move would let it."""
    try:
        moved(status, destination, adopt=adopt)
    except IllegalMove:
        return False
    return True


def refolded(status: OrderStatus, booked: int, quantity: int) -> OrderStatus:
    """The order after its fills were added up, as services/learn.py keeps it."""
    return moved(status, status_after(_order(status, quantity), Decimal(booked)), adopt=True)


def learnt(status: OrderStatus, booked: int, seen: Seen, *, goes_back: bool = False) -> OrderStatus:
    """The order after the venue has shown it as `seen`, by the rules of services/learn.py.

    It ends only once `booked`, the fills in the ledger, account for all that the venue says was filled. A view may be
    older than what is known: it takes nothing back, unless `goes_back`.
    """
    shown, filled = seen
    if shown in TERMINAL and filled > booked:
        shown = OrderStatus.PARTIALLY_FILLED if booked else OrderStatus.ACCEPTED
    if shown is OrderStatus.ACCEPTED and (booked or (status is OrderStatus.PARTIALLY_FILLED and not goes_back)):
        shown = OrderStatus.PARTIALLY_FILLED
    if status in TERMINAL and shown not in ADOPTIONS.get(status, frozenset()):
        shown = status
    return moved(status, shown, adopt=True)
