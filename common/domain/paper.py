"""Paper accounts: the state of an account at the paper venue, as it is kept between calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from common.domain.money import ZERO
from common.domain.order import OrderSide, OrderStatus, OrderType


@dataclass(frozen=True, slots=True)
class PaperOrder:
    """An order as the paper venue keeps it; `number` is its place in the account's sequence, quantities in base units."""

    number: int
    client_order_id: str
    instrument: str
    side: OrderSide
    type: OrderType
    quantity: Decimal
    price: Decimal
    trigger_price: Decimal | None
    reduce_only: bool
    leverage: int
    status: OrderStatus
    created_at: datetime
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaperFill:
    """An execution at the paper venue; `number` makes its trade id, `fee` was paid in the account's asset."""

    number: int
    order_number: int
    client_order_id: str
    instrument: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    is_maker: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PaperFunding:
    """A funding payment at the paper venue; `amount` is negative when paid."""

    number: int
    instrument: str
    amount: Decimal
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class PaperPosition:
    """A holding at the paper venue: `quantity` signed, negative for short; `funded_at` the last funding booked."""

    instrument: str
    quantity: Decimal
    entry_price: Decimal
    leverage: int
    funded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaperAccount:
    """A paper account under its lock: wallet in `asset`, working orders and holdings; `next_number` is free to use."""

    account_id: UUID
    asset: str
    wallet: Decimal
    next_number: int = 1
    orders: tuple[PaperOrder, ...] = ()
    positions: tuple[PaperPosition, ...] = ()
