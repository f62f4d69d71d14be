"""The paper book in memory: what the store keeps, without a database, for tests of the paper venue."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from threading import RLock
from uuid import UUID

from common.domain.errors import OutcomeUnknown, Transient
from common.domain.order import WORKING
from common.domain.paper import PaperAccount, PaperFill, PaperFunding, PaperOrder


@dataclass(slots=True)
class Book:
    """One tenant's book."""

    accounts: dict[UUID, PaperAccount] = field(default_factory=dict)
    orders: dict[tuple[UUID, int], PaperOrder] = field(default_factory=dict)
    filled: list[tuple[UUID, PaperFill]] = field(default_factory=list)
    funded: list[tuple[UUID, PaperFunding]] = field(default_factory=list)

    def load(self, account_id: UUID) -> PaperAccount | None:
        account = self.accounts.get(account_id)
        if account is None:
            return None
        mine = sorted((key[1], order) for key, order in self.orders.items() if key[0] == account_id)
        return replace(account, orders=tuple(order for _, order in mine if order.status in WORKING))

    def open(self, account_id: UUID, asset: str, wallet: Decimal) -> PaperAccount:
        self.accounts.setdefault(account_id, PaperAccount(account_id, asset, wallet))
        return self.load(account_id) or self.accounts[account_id]

    def save(
        self,
        account: PaperAccount,
        *,
        orders: Sequence[PaperOrder] = (),
        fills: Sequence[PaperFill] = (),
        fundings: Sequence[PaperFunding] = (),
    ) -> None:
        self.accounts[account.account_id] = replace(account, orders=())
        self.orders |= {(account.account_id, order.number): order for order in orders}
        self.filled += [(account.account_id, fill) for fill in fills]
        self.funded += [(account.account_id, funding) for funding in fundings]

    def order(self, account_id: UUID, client_order_id: str) -> PaperOrder | None:
        mine = [
            order
            for key, order in self.orders.items()
            if key[0] == account_id and order.client_order_id == client_order_id
        ]
        return max(mine, key=lambda order: order.number, default=None)

    def fills(self, account_id: UUID, instrument: str, since: datetime) -> list[PaperFill]:
        return [
            fill
            for owner, fill in self.filled
            if owner == account_id and fill.instrument == instrument and fill.occurred_at >= since
        ]

    def fundings(self, account_id: UUID, since: datetime) -> list[PaperFunding]:
        return [item for owner, item in self.funded if owner == account_id and item.occurred_at >= since]


class MemoryBooks:
    """Books of all tenants; a block that raises leaves nothing behind. `next_commit` makes one commit fail."""

    def __init__(self) -> None:
        self._kept: dict[UUID, Book] = {}
        self._lock = RLock()
        self.next_commit: Transient | OutcomeUnknown | None = None

    @contextmanager
    def __call__(self, tenant_id: UUID) -> Iterator[Book]:
        with self._lock:
            draft = copy.deepcopy(self._kept.get(tenant_id, Book()))
            yield draft
            failure, self.next_commit = self.next_commit, None
            if not isinstance(failure, Transient):
                self._kept[tenant_id] = draft
            if failure is not None:
                raise failure
