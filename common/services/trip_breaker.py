"""The circuit breaker on trading: looks at the record after every closed position and starts the cool-down."""

from __future__ import annotations

from datetime import datetime

from common.domain.breaker import stop_rests, trip
from common.domain.codec import encode
from common.domain.position import Position
from common.domain.risk.limits import resolve
from common.domain.tenant import Account
from common.store import UnitOfWork


def trip_breaker(uow: UnitOfWork, account: Account, closed: Position, now: datetime) -> None:
    """Start the account's cool-down when a threshold is crossed, and the instrument's (or all instruments') after a stop-out."""
    limits = resolve(account.profile, account.limits, strict=False)
    book = uow.risk.lock_book(account.id, now)
    tripped = trip(book.record, limits, now, equity=book.equity)
    if tripped is not None and (book.record.cooling_until is None or book.record.cooling_until < tripped.until):
        uow.risk.start_cooldown(account.id, tripped.until, tripped.rule.value)
        uow.audit.append("breaker", str(account.id), encode(tripped), now)
    for symbol, rest in stop_rests(closed, limits).items():
        uow.risk.symbol_cooldown(account.id, symbol, now + rest)
