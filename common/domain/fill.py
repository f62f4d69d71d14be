"""Fills: the ledger from which orders, positions and profit are derived."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from common.domain.money import ZERO
from common.domain.order import Order, OrderSide, OrderStatus


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution as the venue reports it; unique by (venue, account, trade id).

    `fee` is what was paid in `fee_asset` (negative for a rebate); `quantity` in base units.
    """

    tenant_id: UUID
    account_id: UUID
    venue: str
    trade_id: str
    order_id: UUID
    position_id: UUID
    instrument: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_asset: str
    is_maker: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Funding:
    """One funding payment of a position: `amount` is negative when paid, positive when received, in `asset`."""

    tenant_id: UUID
    account_id: UUID
    venue: str
    income_id: str
    instrument: str
    position_id: UUID | None
    amount: Decimal
    asset: str
    occurred_at: datetime


def filled(fills: Iterable[Fill]) -> tuple[Decimal, Decimal]:
    """(total quantity, average price) of `fills`; average 0 when there are none."""
    quantity, cost = ZERO, ZERO
    for fill in fills:
        quantity += fill.quantity
        cost += fill.quantity * fill.price
    return quantity, (cost / quantity if quantity else ZERO)


def status_after(order: Order, filled_quantity: Decimal) -> OrderStatus:
    """Status that the fills alone prove; the order's own status where they prove nothing new."""
    if filled_quantity >= order.intent.quantity:
        return OrderStatus.FILLED
    if filled_quantity > ZERO and order.status in {
        OrderStatus.SUBMITTING,
        OrderStatus.UNKNOWN,
        OrderStatus.ACCEPTED,
    }:
        return OrderStatus.PARTIALLY_FILLED
    return order.status
