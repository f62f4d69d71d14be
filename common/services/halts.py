"""Halts and their end: a row and an epoch that every placement reads in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from common.domain import strategies
from common.domain.errors import InvalidInput, NotFound
from common.domain.risk.book import Halt, HaltMode, HaltScope
from common.services.fleet import Fleet
from common.services.tenants import find_tenant
from common.store import UnitOfWork


def halt(fleet: Fleet, *, scope: HaltScope, subject: str, mode: HaltMode, reason: str, by: str) -> Halt:
    """Put a halt in force; once this returns no risk-increasing order with an older epoch leaves.

    `subject` is empty for the platform, else the venue, the tenant's name or id, the strategy or the instrument.
    """
    subject = _subject(fleet, scope, subject)
    _must_exist(fleet, scope, subject)
    with fleet.store.unit_of_work(None) as uow:
        now = fleet.clock.now()
        placed = uow.halts.add(scope, subject, mode, reason, by, now)
        _audit(uow, "halt", scope, subject, f"{mode} by {by}: {reason}", fleet)
        uow.commit()
    return placed


def resume(fleet: Fleet, *, scope: HaltScope, subject: str, by: str) -> bool:
    """Lift a halt; False when there was none. What is halted need not exist any more."""
    subject = _subject(fleet, scope, subject)
    with fleet.store.unit_of_work(None) as uow:
        lifted = uow.halts.lift(scope, subject, by, fleet.clock.now())
        if lifted:
            _audit(uow, "resume", scope, subject, f"by {by}", fleet)
        uow.commit()
    return lifted


def halts_in_force(fleet: Fleet) -> Sequence[Halt]:
    """Every halt the operator has imposed; what tenants imposed on themselves is theirs to see."""
    with fleet.store.unit_of_work(None) as uow:
        return uow.halts.list()


def _subject(fleet: Fleet, scope: HaltScope, subject: str) -> str:
    if scope is HaltScope.PLATFORM:
        return ""
    if not subject:
        raise InvalidInput("subject", subject, f"the name of a {scope.value}")
    if scope is HaltScope.TENANT:
        return str(find_tenant(fleet, subject).id)
    return subject


def _must_exist(fleet: Fleet, scope: HaltScope, subject: str) -> None:
    """A halt on a misspelt name would stop nothing, and nobody would know."""
    known: Iterable[str] = {subject}
    if scope is HaltScope.VENUE:
        known = fleet.market_data
    elif scope is HaltScope.STRATEGY:
        known = strategies.names()
    elif scope is HaltScope.INSTRUMENT:
        with fleet.store.unit_of_work(None) as uow:
            known = {item.symbol for venue in fleet.market_data for item in uow.instruments.list(venue)}
    if subject not in known:
        raise NotFound(scope.value, subject, known)


def _audit(uow: UnitOfWork, kind: str, scope: HaltScope, subject: str, detail: str, fleet: Fleet) -> None:
    uow.audit.append(kind, subject or scope.value, {"scope": scope.value, "detail": detail}, fleet.clock.now())
