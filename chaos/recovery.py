"""How long after a fault the pipeline works again: a real job of every stage completed and every account visited."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from chaos.tenants import TIMEFRAME
from chaos.world import World, patiently
from common.bootstrap import ADVISOR, SIMULATOR
from common.domain.errors import Transient
from common.domain.job import Stage
from common.domain.market import Timeframe
from common.services.schedule_scans import request_scan

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
_LOOK_S = 0.1

_SETTLED = """
    SELECT tenant_id, id FROM orders WHERE status IN ('filled', 'canceled') ORDER BY created_at DESC LIMIT 1
"""
_JUDGED = """
    SELECT d.tenant_id, d.account_id, d.signal_id FROM decisions AS d JOIN signals AS s ON s.id = d.signal_id
    WHERE s.expires_at < %s ORDER BY d.occurred_at DESC LIMIT 1
"""
_ASKED = "SELECT a.signal_id FROM advice AS a ORDER BY a.occurred_at DESC LIMIT 1"
_OPEN = "SELECT stage FROM jobs WHERE id = ANY (%s) AND state = 'pending'"
_VISITS = "SELECT account_id, xmin::text FROM account_balances"


class NotRecovered(Exception):
    """The pipeline does not work again within `PATIENCE_S`; the message says what is missing."""


@dataclass(slots=True)
class Prober:
    """Asks every stage for one harmless job and waits until all are done."""

    world: World
    number: int = 0
    seconds: list[float] = field(default_factory=list)
    slowest: dict[str, int] = field(default_factory=dict)
    last: str = ""
    """What came last when it was measured last."""

    def measure(self) -> float:
        """Seconds of life until everything works; raises NotRecovered."""
        began = time.monotonic()
        before = patiently(lambda: dict(self.world.rows(_VISITS)))
        jobs = patiently(self._ask, PATIENCE_S)
        missing = ["anything"]
        while time.monotonic() - began < PATIENCE_S:
            found = self._missing(jobs, before)
            taken = round(time.monotonic() - began, 3)
            if not found:
                self.seconds.append(taken)
                self.last = missing[0]
                self.slowest[self.last] = self.slowest.get(self.last, 0) + 1
                return taken
            if found != missing:
                log.info("%.1f s after the last fault there is still no %s", taken, ", ".join(found))
            missing = found
            time.sleep(_LOOK_S)
        raise NotRecovered(f"after {PATIENCE_S:.0f} s there is still no {', '.join(self._missing(jobs, before))}")

    def _missing(self, jobs: list[UUID], before: dict[Any, Any]) -> list[str]:
        try:
            found = [str(stage) for (stage,) in self.world.rows(_OPEN, [jobs])]
            after = dict(self.world.rows(_VISITS))
        except Transient:
            return ["Postgres"]
        return found + [f"visit of {account}" for account, mark in before.items() if after.get(account) == mark]

    def _ask(self) -> list[UUID]:
        """Jobs that change nothing: a scan of one instrument, an answer asked before, an outcome known, an order settled."""
        self.number += 1
        fleet, world = self.world.fleet, self.world
        now, key = fleet.clock.now(), f"chaos:{self.number}:{world.options.seed}"
        frame, symbol = Timeframe.parse(TIMEFRAME), world.tenancy.instruments[0].symbol
        found, refs = [], []
        with fleet.store.unit_of_work(None) as uow:
            found.append(request_scan(fleet, uow, SIMULATOR, TIMEFRAME, [symbol], frame.floor(now), shard=key, now=now))
            for (signal,) in world.rows(_ASKED):
                payload = {"signal_id": str(signal), "advisor": ADVISOR}
                found.append(
                    uow.jobs.add(Stage.CONFIRM, key, tenant_id=None, payload=payload, now=now, correlation_id=signal).id
                )
            refs += uow.commit()
        for tenant, account, signal in world.rows(_JUDGED, [now - timedelta(minutes=1)]):
            found.append(self._add(Stage.EVALUATE, key, tenant, signal, signal_id=signal, account_id=account))
        for tenant, order in world.rows(_SETTLED):
            found.append(self._add(Stage.SETTLE, key, tenant, order, order_id=order))
        fleet.publish(refs)
        return found

    def _add(self, stage: Stage, key: str, tenant: UUID, correlation: UUID, **payload: UUID) -> UUID:
        fleet = self.world.fleet
        named = {name: str(value) for name, value in payload.items()}
        with fleet.store.unit_of_work(tenant) as uow:
            ref = uow.jobs.add(
                stage,
                key,
                tenant_id=tenant,
                payload=named | ({"advice_id": None} if stage is Stage.EVALUATE else {}),
                now=fleet.clock.now(),
                correlation_id=correlation,
            )
            refs = uow.commit()
        fleet.publish(refs)
        return ref.id


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
