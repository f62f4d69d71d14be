"""Why a position is to be left, as the prices, the halts, the market's fate and its own strategy say."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from common.domain.exits import decide_exit
from common.domain.market import InstrumentStatus
from common.domain.order import OrderIntent, OrderRole, OrderStatus
from common.domain.parameter_version import digest_of
from common.domain.position import CloseReason, Position
from common.domain.risk.book import HaltMode
from common.services.fleet import instrument_of
from common.store import UnitOfWork

_REFUSED_EXIT_REST = timedelta(minutes=1)


def wish_to_leave(uow: UnitOfWork, position: Position, mark: Decimal, now: datetime) -> CloseReason | None:
    """Why `position` is to be left while its price is `mark`; None while it is to be held."""
    if HaltMode.FLATTEN in halted(uow, position, position.strategy, position.instrument):
        return CloseReason.HALT
    if _is_delisted(uow, position, now):
        return CloseReason.DELISTED
    decision = decide_exit(position, mark, now=now)
    if decision is not None:
        return decision.reason
    return CloseReason.OPPOSITE if _strategy_leaves(uow, position) else None


def halted(uow: UnitOfWork, what: Position | OrderIntent, strategy: str | None, instrument: str) -> set[HaltMode]:
    """Modes of the halts in force over what `strategy` has on `instrument`."""
    return {halt.mode for halt in uow.halts.in_force(what.venue, what.tenant_id, strategy, instrument)}


def _strategy_leaves(uow: UnitOfWork, position: Position) -> bool:
    """Whether the strategy, with the parameters that the position was opened with, has said to leave it."""
    if position.opened_at is None:
        return False
    signal = uow.signals.get(position.signal_id) if position.signal_id else None
    digest = digest_of(signal.strategy_version) if signal else ""
    said = uow.leavings.since(
        position.venue, position.instrument, position.strategy, position.side, position.opened_at, digest=digest
    )
    return said is not None


def _is_delisted(uow: UnitOfWork, position: Position, now: datetime) -> bool:
    """Whether the venue takes the market away and has not refused an exit lately: a market that settles takes none."""
    if instrument_of(uow, position.venue, position.instrument).status is not InstrumentStatus.DELISTED:
        return False
    refused = (o for o in uow.orders.of_position(position.id) if o.status is OrderStatus.REJECTED)
    return all(o.intent.role is not OrderRole.EXIT or o.created_at < now - _REFUSED_EXIT_REST for o in refused)
