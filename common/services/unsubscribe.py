"""Ends an account's subscription: no new entries by it; what it holds is managed and left as before."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from common.domain.codec import encode
from common.domain.errors import NotFound
from common.domain.market import Timeframe
from common.domain.tenant import Subscription
from common.services.fleet import Fleet


def unsubscribe(fleet: Fleet, tenant_id: UUID, account_id: UUID, *, strategy: str, timeframe: str) -> Subscription:
    """The subscription as it ended; NotFound names those of the account that have not.

    The strategy need not exist any more: one that is gone is exactly what nobody should stay subscribed to.
    """
    frame = str(Timeframe.parse(timeframe))
    with fleet.store.unit_of_work(tenant_id) as uow:
        now = fleet.clock.now()
        running = [item for item in uow.subscriptions.list() if item.account_id == account_id and item.is_active(now)]
        found = next((item for item in running if (item.strategy, item.timeframe) == (strategy, frame)), None)
        if found is None:
            raise NotFound(
                "subscription", f"{strategy} {frame}", (f"{item.strategy} {item.timeframe}" for item in running)
            )
        ended = replace(found, active_to=now)
        uow.subscriptions.end(found.id, now)
        uow.audit.append("subscription", str(found.id), encode(ended), now)
        uow.commit()
    return ended
