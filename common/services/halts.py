"""Halts and their end: a row and an epoch that every placement reads in its own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from common.domain import strategies
from common.domain.errors import InvalidInput, NotFound, Permanent
from common.domain.risk.book import Halt, HaltMode, HaltScope
from common.services.fleet import Fleet
from common.services.tenants import find_tenant
from common.store import UnitOfWork


@dataclass(frozen=True, slots=True)
class Nonce:
    """A number used once; `used_at` is life's time, because venue time may run faster than anybody replays."""

    value: str
    used_at: datetime


class Replayed(Permanent):
    """The nonce of this request was used before."""

    def __init__(self) -> None:
        super().__init__("this request was made before")


class NeedsSecond(Permanent):
    """The halt is lifted by two people or not at all."""

    def __init__(self, halt: Halt) -> None:
        super().__init__(f"lifting {halt.mode} of {halt.scope} {halt.subject}".rstrip() + " takes a second signature")


def halt(
    fleet: Fleet,
    *,
    scope: HaltScope,
    subject: str,
    mode: HaltMode,
    reason: str,
    by: str,
    nonce: Nonce | None = None,
    may_weaken: bool = True,
) -> Halt:
    """Put a halt in force; once this returns no risk-increasing order with an older epoch leaves.

    `subject` is empty for the platform, else the venue, the tenant's name or id, the strategy or the instrument. With
    a `nonce` the halt comes with its using up or not at all; raises Replayed when it was used before. Without
    `may_weaken` a stronger halt on the same subject is not replaced (InvalidInput): that would be half a resume.
    """
    subject = _subject(fleet, scope, subject)
    _must_exist(fleet, scope, subject)
    with fleet.store.unit_of_work(None) as uow:
        _use(uow, nonce)
        if not may_weaken:
            _must_not_weaken(uow, scope, subject, mode)
        now = fleet.clock.now()
        placed = uow.halts.add(scope, subject, mode, reason, by, now)
        _audit(uow, "halt", scope, subject, f"{mode} by {by}: {reason}", fleet)
        uow.commit()
    return placed


def resume(
    fleet: Fleet,
    *,
    scope: HaltScope,
    subject: str,
    by: str,
    reason: str = "",
    nonce: Nonce | None = None,
    is_seconded: bool = True,
) -> bool:
    """Lift a halt; False when there was none. What is halted need not exist any more.

    Raises NeedsSecond, and lifts nothing, when a halt that `needs_second` is to be lifted without `is_seconded`: the
    halt is judged in the transaction that lifts it, so a FLATTEN put in force meanwhile is not lifted by mistake.
    """
    subject = _subject(fleet, scope, subject)
    with fleet.store.unit_of_work(None) as uow:
        _use(uow, nonce)
        lifted = uow.halts.lift(scope, subject, by, fleet.clock.now())
        if lifted is not None:
            if needs_second(lifted) and not is_seconded:
                raise NeedsSecond(lifted)
            _audit(uow, "resume", scope, subject, f"by {by}: {reason}".removesuffix(": "), fleet)
        uow.commit()
    return lifted is not None


def needs_second(halt: Halt) -> bool:
    """Whether one person is not enough to lift `halt`: the whole platform, or whatever was ordered flat."""
    return halt.scope is HaltScope.PLATFORM or halt.mode is HaltMode.FLATTEN


def _must_not_weaken(uow: UnitOfWork, scope: HaltScope, subject: str, mode: HaltMode) -> None:
    uow.halts.lock()
    strength = list(HaltMode).index
    for held in uow.halts.list():
        if (held.scope, held.subject) == (scope, subject) and strength(held.mode) > strength(mode):
            raise InvalidInput(
                "mode", mode.value, f"at least {held.mode}, which is in force; to weaken it, lift it first"
            )


def _use(uow: UnitOfWork, nonce: Nonce | None) -> None:
    if nonce is not None and not uow.halts.use_nonce(nonce.value, nonce.used_at):
        raise Replayed


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
        # One of the user's own need not be known to this process: what somebody subscribes to can be halted.
        with fleet.store.operator() as view:
            known = {*strategies.names(), *(item.strategy for item in view.subscriptions())}
    elif scope is HaltScope.INSTRUMENT:
        with fleet.store.unit_of_work(None) as uow:
            known = {item.symbol for venue in fleet.market_data for item in uow.instruments.list(venue)}
    if subject not in known:
        raise NotFound(scope.value, subject, known)


def _audit(uow: UnitOfWork, kind: str, scope: HaltScope, subject: str, detail: str, fleet: Fleet) -> None:
    uow.audit.append(kind, subject or scope.value, {"scope": scope.value, "detail": detail}, fleet.clock.now())
