"""Jobs asked for by hand, with names a person can type; as idempotent as the pipeline's own."""

from __future__ import annotations

from uuid import UUID

from common.domain.advice import advice_id
from common.domain.errors import InvalidInput, NotFound
from common.domain.job import JobRef, Stage
from common.domain.market import Timeframe
from common.domain.parameter_version import digest_of
from common.domain.signal import Signal
from common.services.fleet import Fleet, instrument_of
from common.services.invariants import find_account
from common.services.schedule_scans import request_scan
from common.services.tenants import find_tenant
from common.store import UnitOfWork

_KEYS = {Stage.PLACE: "place", Stage.SETTLE: "settle", Stage.CANCEL: "cancel"}


def scan(fleet: Fleet, venue: str, instrument: str, timeframe: str) -> JobRef:
    """The scan of one instrument at its newest closed candle."""
    fleet.market(venue)
    frame = Timeframe.parse(timeframe)
    with fleet.store.unit_of_work(None) as uow:
        symbol = instrument_of(uow, venue, instrument).symbol
        now = fleet.clock.now()
        closed_at = frame.floor(now)
        job = request_scan(fleet, uow, venue, str(frame), [symbol], closed_at, shard=symbol, now=now)
        uow.commit()
    return JobRef(job, Stage.SCAN, None)


def confirmation(fleet: Fleet, signal: str, advisor: str) -> JobRef:
    """The question of one signal to one advisor profile."""
    fleet.advisor(advisor)
    known = _signal(fleet, signal)
    with fleet.store.unit_of_work(None) as uow:
        ref = uow.jobs.add(
            Stage.CONFIRM,
            f"confirm:{known.id}:{advisor}",
            tenant_id=None,
            payload={"signal_id": str(known.id), "advisor": advisor},
            now=fleet.clock.now(),
            expires_at=known.expires_at,
            correlation_id=known.id,
        )
        uow.commit()
    return ref


def evaluation(fleet: Fleet, tenant: str, signal: str, account: str | None = None) -> JobRef:
    """The verdict of one tenant's account on one signal; InvalidInput for one of parameters that are not the tenant's."""
    owner = find_tenant(fleet, tenant)
    chosen = find_account(fleet, owner.id, account)
    known = _signal(fleet, signal)
    with fleet.store.unit_of_work(owner.id) as uow:
        own = uow.parameters.digest_at(known.strategy, known.closed_at)
        if own != digest_of(known.strategy_version):
            raise InvalidInput(
                "signal", signal, f"one of {known.strategy} with {owner.name}'s parameters ({own or 'the defaults'})"
            )
        advice = _advice(uow, chosen.id, known)
        ref = uow.jobs.add(
            Stage.EVALUATE,
            f"risk:{owner.id}:{chosen.id}:{known.id}",
            tenant_id=owner.id,
            payload={"signal_id": str(known.id), "account_id": str(chosen.id), "advice_id": advice},
            now=fleet.clock.now(),
            correlation_id=known.id,
        )
        uow.commit()
    return ref


def _advice(uow: UnitOfWork, account: UUID, signal: Signal) -> str | None:
    """The answer that was given already to the advisor this account asks about such signals."""
    for wish in uow.subscriptions.list():
        is_it = (wish.account_id, wish.strategy, wish.timeframe) == (account, signal.strategy, signal.timeframe)
        if is_it and wish.advisor is not None and uow.advice.get(advice_id(signal.id, wish.advisor)) is not None:
            return str(advice_id(signal.id, wish.advisor))
    return None


def order_job(fleet: Fleet, stage: Stage, tenant: str, order: str) -> JobRef:
    """The placement, settlement or cancellation of one order, by its id or client order id."""
    owner = find_tenant(fleet, tenant)
    with fleet.store.unit_of_work(owner.id) as uow:
        known = uow.orders.by_client_id(order) or (uow.orders.get(UUID(order)) if _is_uuid(order) else None)
        if known is None:
            raise NotFound(f"order of tenant {owner.name}", order)
        ref = uow.jobs.add(
            stage,
            f"{_KEYS[stage]}:{known.intent.client_order_id}",
            tenant_id=owner.id,
            payload={"order_id": str(known.id)},
            now=fleet.clock.now(),
            correlation_id=known.intent.signal_id or known.intent.position_id,
        )
        uow.commit()
    return ref


def _signal(fleet: Fleet, signal: str) -> Signal:
    if not _is_uuid(signal):
        raise InvalidInput("signal", signal, "the id of a signal, as `tradewinds decisions` shows it")
    with fleet.store.unit_of_work(None) as uow:
        known = uow.signals.get(UUID(signal))
    if known is None:
        raise NotFound("signal", signal)
    return known


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
