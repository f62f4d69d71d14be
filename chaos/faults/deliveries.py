"""Faults of delivery: messages that come twice, late, out of order, or from a forger."""

from __future__ import annotations

import random
from contextlib import suppress
from uuid import uuid4

from chaos.faults.kind import kind
from chaos.world import World, patiently
from common.domain.job import JobRef, Stage

_JOBS = "SELECT id, stage, tenant_id FROM jobs WHERE state {condition} ORDER BY created_at {order} LIMIT 400"


def _refs(world: World, condition: str, order: str) -> list[JobRef]:
    rows = patiently(lambda: world.rows(_JOBS.format(condition=condition, order=order)), 10.0)
    return [JobRef(row[0], Stage(row[1]), row[2]) for row in rows]


@kind("deliveries", 450, 0.6)
def duplicate_delivery(world: World, dice: random.Random) -> str:
    """Messages for jobs just done or still pending, several times over and out of order."""
    refs = _refs(world, "IN ('pending', 'done')", "DESC")
    chosen = dice.choices(refs, k=min(len(refs), 40)) if refs else []
    patiently(lambda: world.fleet.bus.ring(chosen), 10.0)
    return f"{len(chosen)} messages" if chosen else ""


@kind("deliveries", 250, 0.6)
def late_delivery(world: World, dice: random.Random) -> str:
    """Messages for the oldest jobs, long after they were done."""
    refs = _refs(world, "<> 'pending'", "ASC")
    chosen = dice.sample(refs, min(len(refs), 30))
    patiently(lambda: world.fleet.bus.ring(chosen), 10.0)
    return f"{len(chosen)} messages" if chosen else ""


@kind("deliveries", 100, 0.6)
def forged_delivery(world: World, dice: random.Random) -> str:
    """Messages with no or a wrong signature, for jobs that are pending and for jobs that never were."""
    from workers.app import app

    refs = [*_refs(world, "= 'pending'", "DESC")[:10], JobRef(uuid4(), Stage.PLACE, None)]
    for ref in refs:
        named = [[str(ref.id), str(ref.tenant_id) if ref.tenant_id else None]]
        seal = dice.choice([None, {"v": 1, "expires": 4_000_000_000, "mac": "00" * 32}])
        arguments = {"jobs": named} | ({"seal": seal} if seal else {})
        with suppress(Exception):  # A broker that is down takes no forged message either.
            app.send_task(ref.stage.value, kwargs=arguments, retry=False)
    return f"{len(refs)} messages"
