"""An account's subscriptions to a pool of candidates take on what the pool holds now."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from common.domain.codec import encode
from common.services.fleet import Fleet
from common.services.list_candidates import pool_of


def follow_pool(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> int:
    """How many subscriptions of the account changed their instruments; safe to repeat.

    They have been active all along: a signal on an instrument that stays is not lost to a ranking. A pool that holds
    nothing is not followed.
    """
    changed = 0
    with fleet.store.unit_of_work(tenant_id) as uow:
        now, account = fleet.clock.now(), uow.accounts.get(account_id)
        for item in uow.subscriptions.list():
            if account is None or item.account_id != account_id or item.pool is None or not item.is_active(now):
                continue
            symbols = tuple(sorted(pool_of(uow, account.venue, item.pool)))
            if symbols and uow.subscriptions.follow(item.id, item.pool, symbols):
                uow.audit.append("subscription", str(item.id), encode(replace(item, instruments=symbols)), now)
                changed += 1
        uow.commit()
    return changed
