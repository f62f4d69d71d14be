"""The circuit breaker on trading: looks at the record after every closed position and starts the cool-down."""

from __future__ import annotations

from datetime import datetime

from common.domain.breaker import trip
from common.domain.codec import encode
from common.domain.money import ZERO
from common.domain.position import CloseReason, Position
from common.domain.risk.book import EVERY_INSTRUMENT
from common.domain.risk.limits import resolve
from common.domain.tenant import Account
from common.services.fleet import Fleet
from common.store import UnitOfWork

_STOPPED_OUT = frozenset({CloseReason.STOP, CloseReason.LIQUIDATION})


def trip_breaker(fleet: Fleet, uow: UnitOfWork, account: Account, closed: Position, now: datetime) -> None:
    """Start the account's cool-down when a threshold is crossed, and the instrument's (or all instruments') after a stop-out."""
    limits = resolve(account.profile, account.limits, strict=False)
    book = uow.risk.lock_book(account.id, now)
    tripped = trip(book.record, limits, now, equity=book.equity)
    if tripped is not None and (book.record.cooling_until is None or book.record.cooling_until < tripped.until):
        uow.risk.start_cooldown(account.id, tripped.until, tripped.rule.value)
        uow.audit.append("breaker", str(account.id), encode(tripped), now)
    if closed.close_reason in _STOPPED_OUT and closed.net_profit < ZERO:
        if limits.symbol_cooldown_min is not None:
            uow.risk.symbol_cooldown(account.id, closed.instrument, now + limits.symbol_cooldown_min)
        if limits.stop_cooldown_min is not None:
            uow.risk.symbol_cooldown(account.id, EVERY_INSTRUMENT, now + limits.stop_cooldown_min)
