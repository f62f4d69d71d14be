"""Parameter sets of tenants: proposed within bounds, approved or rejected by a person, rolled back, and listed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from common.domain import strategies
from common.domain.codec import encode
from common.domain.errors import InvalidInput, NotFound, TradewindsError, Transient
from common.domain.parameter_version import (
    DEFAULTS,
    Activation,
    ParameterState,
    ParameterVersion,
    decider,
    digest_of,
    proposable,
    proposer,
    reasoned,
    rollback_target,
    strategy_of,
)
from common.services.fleet import Fleet
from common.services.tenants import find_tenant, list_tenants
from common.store import UnitOfWork


def propose_parameters(
    fleet: Fleet, tenant: str, strategy: str, changes: Mapping[str, Any], *, by: str, reason: str
) -> ParameterVersion:
    """Keep `changes` of the strategy's defaults as a proposal of `tenant`; nothing trades by it until it is approved.

    Raises NotFound for a strategy that is not there, InvalidInput naming a parameter, its value and its bounds.
    """
    owner = find_tenant(fleet, tenant)
    proposer(by)
    reasoned(reason)
    with fleet.store.unit_of_work(owner.id) as uow:
        now = fleet.clock.now()
        chosen = proposable(strategy, changes, _current_digest(uow, strategy))
        while True:
            proposed = ParameterVersion(
                tenant_id=owner.id,
                strategy=strategy,
                number=uow.parameters.next_number(strategy),
                parameters=chosen.parameters.changes,
                digest=digest_of(chosen.version),
                state=ParameterState.PROPOSED,
                proposed_by=by,
                proposed_at=now,
                reason=reason,
            )
            # A number that somebody else took meanwhile is committed by now: the next one is free, or is again taken.
            if uow.parameters.add(proposed):
                break
        detail = {"to": proposed.state.value, "by": by, "reason": reason, "parameters": encode(proposed.parameters)}
        uow.audit.append("parameters", proposed.subject, detail, now)
        uow.commit()
    return proposed


def approve_parameters(
    fleet: Fleet, tenant: str, strategy: str, number: int, *, by: str, reason: str
) -> tuple[ParameterVersion, Activation]:
    """Put a proposal in force for all of the tenant's subscriptions to the strategy, in the place of what was.

    Raises InvalidInput when it was decided already, Transient when somebody else decides at the same moment.
    """
    owner = find_tenant(fleet, tenant)
    decider(by)
    reasoned(reason)
    with fleet.store.unit_of_work(owner.id) as uow:
        proposed = _found(uow, strategy, number)
        if proposed.state is not ParameterState.PROPOSED:
            way = "roll back to it" if proposed.state is ParameterState.RETIRED else "propose it anew"
            raise InvalidInput(
                "number", number, f"an open proposal; it is {proposed.state} by {proposed.decided_by}: {way}"
            )
        taken = _take_up(fleet, uow, strategy, number, by, reason)
        uow.commit()
    return taken


def reject_parameters(
    fleet: Fleet, tenant: str, strategy: str, number: int, *, by: str, reason: str
) -> ParameterVersion:
    """Refuse a proposal for good. Raises IllegalMove when it was decided already, Transient when it is just now."""
    owner = find_tenant(fleet, tenant)
    decider(by)
    reasoned(reason)
    with fleet.store.unit_of_work(owner.id) as uow:
        rejected = _move(uow, _found(uow, strategy, number), ParameterState.REJECTED, by, reason, fleet.clock.now())
        uow.commit()
    return rejected


def roll_back_parameters(
    fleet: Fleet, tenant: str, strategy: str, *, by: str, reason: str, number: int | None = None
) -> Activation:
    """Put set `number`, approved earlier, in force again; 0 is the strategy's defaults, None the one before.

    Raises InvalidInput naming the sets there are to go back to, Transient when somebody else decides at the same moment.
    """
    owner = find_tenant(fleet, tenant)
    decider(by)
    reasoned(reason)
    strategies.get(strategy)
    with fleet.store.unit_of_work(owner.id) as uow:
        target = rollback_target(uow.parameters.list(strategy), number)
        if target == DEFAULTS:
            activation = _leave_for_defaults(fleet, uow, strategy, by, reason)
        else:
            activation = _take_up(fleet, uow, strategy, target, by, reason)[1]
        uow.commit()
    return activation


def list_parameters(fleet: Fleet, tenant: str | None = None, strategy: str | None = None) -> list[dict[str, Any]]:
    """Every set of `tenant` or of all tenants by strategy, the newest first, for the operator."""
    owner = find_tenant(fleet, tenant).id if tenant is not None else None
    names = {item.id: item.name for item in list_tenants(fleet)}
    with fleet.store.operator() as view:
        found = view.parameters(owner, strategy)
    return [parameter_row(item, names) for item in found]


def parameters_of(fleet: Fleet, tenant_id: UUID, strategy: str | None = None) -> list[dict[str, Any]]:
    """A tenant's own sets by strategy, the newest first, read behind its wall."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        own = uow.tenants.get(tenant_id)
        found = uow.parameters.list(strategy)
    return [parameter_row(item, {tenant_id: own.name if own else str(tenant_id)}) for item in found]


def parameter_row(version: ParameterVersion, names: Mapping[UUID, str]) -> dict[str, Any]:
    """A set as it is told; `problem` says why today's code would not run it, where that is so."""
    row: dict[str, Any] = encode(version)
    return {"tenant": names.get(version.tenant_id), **row, "problem": _problem(version)}


def _problem(version: ParameterVersion) -> str | None:
    try:
        strategy_of(version.strategy, version.parameters, version.digest)
    except TradewindsError as error:
        return str(error)
    return None


def _found(uow: UnitOfWork, strategy: str, number: int) -> ParameterVersion:
    version = uow.parameters.get(strategy, number)
    if version is None:
        raise NotFound(f"parameter set of {strategy}", number, (item.number for item in uow.parameters.list(strategy)))
    return version


def _current_digest(uow: UnitOfWork, strategy: str) -> str:
    activations = uow.parameters.activations(strategy)
    return activations[-1].digest if activations else ""


def _take_up(
    fleet: Fleet, uow: UnitOfWork, strategy: str, number: int, by: str, reason: str
) -> tuple[ParameterVersion, Activation]:
    now = fleet.clock.now()
    version = _found(uow, strategy, number)
    strategy_of(version.strategy, version.parameters, version.digest)
    # First of all, because it is what two who decide at once meet at; a second active set never comes to be.
    activation = _activate(fleet, uow, strategy, number, version.digest, now)
    _retire(uow, strategy, by, f"set {number} took its place", now)
    active = _move(uow, version, ParameterState.ACTIVE, by, reason, now, encode(activation.active_from))
    return active, activation


def _leave_for_defaults(fleet: Fleet, uow: UnitOfWork, strategy: str, by: str, reason: str) -> Activation:
    now = fleet.clock.now()
    activation = _activate(fleet, uow, strategy, DEFAULTS, "", now)
    _retire(uow, strategy, by, reason, now)
    return activation


def _activate(fleet: Fleet, uow: UnitOfWork, strategy: str, number: int, digest: str, now: datetime) -> Activation:
    # A little later, so that this is committed before the first candle closes for which it counts.
    settled: timedelta = fleet.clock.transport(fleet.policy.parameters_settle_s)
    activation = uow.parameters.activate(strategy, number, digest, now + settled)
    if activation is None:
        raise _contended(strategy)
    return activation


def _retire(uow: UnitOfWork, strategy: str, by: str, reason: str, now: datetime) -> None:
    for item in uow.parameters.list(strategy):
        if item.state is ParameterState.ACTIVE:
            _move(uow, item, ParameterState.RETIRED, by, reason, now)


def _move(
    uow: UnitOfWork,
    version: ParameterVersion,
    destination: ParameterState,
    by: str,
    reason: str,
    now: datetime,
    active_from: str | None = None,
) -> ParameterVersion:
    after = version.move(destination, by, reason, now)
    if not uow.parameters.save(after):
        raise _contended(version.strategy)
    detail = {"from": version.state.value, "to": destination.value, "by": by, "reason": reason}
    detail |= {"proposed_by": version.proposed_by, "parameters": encode(version.parameters)}
    detail |= {"active_from": active_from} if active_from else {}
    uow.audit.append("parameters", version.subject, detail, now)
    return after


def _contended(strategy: str) -> Transient:
    return Transient(f"somebody else has just decided on the parameters of {strategy}: look again before you decide")
