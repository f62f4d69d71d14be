"""Positions: what the fills of one entry and its closing orders add up to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from common.domain.fill import Fill, Funding
from common.domain.money import ZERO
from common.domain.order import OrderSide
from common.domain.signal import ExitPlan, Side, derived_id


class CloseReason(StrEnum):
    """Why a position was left; a closed list."""

    STOP = "stop"
    TARGET = "target"
    TRAILING = "trailing"
    TIME = "time"
    ADVISOR = "advisor"
    HALT = "halt"
    MANUAL = "manual"
    UNPROTECTED = "unprotected"
    LIQUIDATION = "liquidation"
    DELEVERAGED = "deleveraged"
    DELISTED = "delisted"
    OPPOSITE = "opposite"


FORCED = frozenset({CloseReason.LIQUIDATION, CloseReason.DELEVERAGED, CloseReason.DELISTED})
"""Reasons for which a venue closes a position by itself, with an order that is none of ours."""


@dataclass(frozen=True, slots=True)
class Position:
    """A holding from its first entry fill until flat; every money figure in the settle asset.

    `quantity` is what is held now (never negative), `entry_price` the average of the entry fills, `gross_profit` what
    closing fills earned before costs, `fees` paid, `funding` received (negative when paid), `best_price` the most
    favourable mark seen since opening.
    """

    id: UUID
    tenant_id: UUID
    account_id: UUID
    venue: str
    instrument: str
    side: Side
    strategy: str
    signal_id: UUID | None
    leverage: int
    exits: ExitPlan
    quantity: Decimal = ZERO
    opened_quantity: Decimal = ZERO
    entry_price: Decimal = ZERO
    exit_price: Decimal = ZERO
    gross_profit: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    best_price: Decimal = ZERO
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    version: int = 0

    @property
    def is_open(self) -> bool:
        """Whether anything is held."""
        return self.quantity > ZERO

    @property
    def net_profit(self) -> Decimal:
        """Realised profit after fees and funding."""
        return self.gross_profit - self.fees + self.funding

    def unrealised(self, mark: Decimal) -> Decimal:
        """Profit of what is held at price `mark`, before closing costs."""
        return (mark - self.entry_price) * self.quantity * self.side.sign


def position_id(entry_order: UUID) -> UUID:
    """A position is known by the entry order that opens it."""
    return derived_id(f"position|{entry_order}")


def fold(position: Position, fills: Iterable[Fill], fundings: Iterable[Funding] = ()) -> Position:
    """`position` as its complete `fills` and `fundings` make it, whatever it said before.

    Fills are taken in the order of (time, opening ones first, trade id), so any arrival order gives the same position:
    what closes at the very instant of its entry closes it, whatever the venue numbers its trades by. A closing fill
    larger than what is held closes what is held; the excess is the reconciler's to explain.
    """
    held, opened, cost, closed, proceeds, fees = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    opens = OrderSide.BUY if position.side is Side.LONG else OrderSide.SELL
    for fill in sorted(fills, key=lambda item: (item.occurred_at, item.side is not opens, item.trade_id)):
        fees += fill.fee
        if fill.side is opens:
            held, opened, cost = held + fill.quantity, opened + fill.quantity, cost + fill.quantity * fill.price
            opened_at = opened_at or fill.occurred_at
        else:
            taken = min(held, fill.quantity)
            held, closed, proceeds = held - taken, closed + taken, proceeds + taken * fill.price
        closed_at = fill.occurred_at if opened and not held else None
    entry = cost / opened if opened else ZERO
    return replace(
        position,
        quantity=held,
        opened_quantity=opened,
        entry_price=entry,
        exit_price=proceeds / closed if closed else ZERO,
        # Once all is closed the cost itself is used: an average price may have no exact decimal.
        gross_profit=(proceeds - (cost if closed == opened else entry * closed)) * position.side.sign,
        fees=fees,
        funding=sum((funding.amount for funding in fundings), ZERO),
        best_price=position.best_price or entry,
        opened_at=opened_at,
        closed_at=closed_at,
    )
