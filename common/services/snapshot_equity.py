"""maintenance.equity: writes down what every account is worth, so that curves and drawdowns have points."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from common.domain.money import ZERO
from common.services.fleet import Fleet


def snapshot_equity(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> bool:
    """Keep one point of the account's equity curve from its last known balance; False when it has none yet."""
    now = fleet.clock.now()
    with fleet.store.unit_of_work(tenant_id) as uow:
        balance = uow.accounts.balance(account_id)
        if balance is None:
            return False
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        closed = uow.positions.closed_since(account_id, midnight)
        day_profit = sum((position.net_profit for position in closed), ZERO)
        unrealised = balance.equity - balance.wallet
        # As of when the venue told it, so that what flows in or out afterwards is not in it; a day begins with its own.
        told_at = balance.at if midnight <= balance.at <= now else now
        uow.equity.snapshot(account_id, balance.equity, balance.wallet, unrealised, day_profit, told_at)
        uow.commit()
    return True
