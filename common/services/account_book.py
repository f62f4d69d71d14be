"""The book of an account in double entry, folded from what was booked; nothing of it is kept."""

from __future__ import annotations

from uuid import UUID

from common.domain.errors import NotFound
from common.domain.postings import Entry, entries_of
from common.domain.tenant import Account
from common.store import UnitOfWork


def book_of(uow: UnitOfWork, account: Account) -> list[Entry]:
    """Every entry of the account, folded from its fills, fundings and cash flows, oldest first."""
    return entries_of(
        uow.fills.of_account(account.id), uow.fundings.of_account(account.id), uow.cash_flows.of_account(account.id)
    )


def name_of(uow: UnitOfWork, tenant_id: UUID) -> str:
    """The tenant's name; raises NotFound for no such tenant."""
    tenant = uow.tenants.get(tenant_id)
    if tenant is None:
        raise NotFound("tenant", tenant_id)
    return tenant.name
