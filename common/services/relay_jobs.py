"""maintenance.relay: rings again for every job that waits and that nobody has claimed."""

from __future__ import annotations

from common.services.fleet import Fleet


def relay_jobs(fleet: Fleet) -> int:
    """Ring for jobs that wait; returns how many. Redis emptied means: all of them.

    One that was put off, or made for later, is rung for as soon as it is due. One that was rung for when it was made has
    `relay_grace_s`, while its message may be on its way.

    The store remembers when it last named a job: nobody rings twice for it within `relay_quiet_s`, so a backlog is gone
    through instead of its oldest jobs being rung at every tick.
    """
    now = fleet.clock.now()
    grace = fleet.clock.transport(fleet.policy.relay_grace_s)
    quiet = fleet.clock.transport(fleet.policy.relay_quiet_s)
    with fleet.store.unit_of_work(None) as uow:
        refs = uow.jobs.due(now, older_than=now - grace, limit=fleet.policy.relay_batch, quiet=quiet)
        uow.commit()
    fleet.publish(refs)
    return len(refs)
