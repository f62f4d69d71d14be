"""The paper port: where the paper venue keeps its accounts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from common.domain.paper import PaperAccount, PaperFill, PaperFunding, PaperOrder


class PaperBook(Protocol):
    """One transaction on the paper accounts of one tenant; every call may raise Transient."""

    def load(self, account_id: UUID) -> PaperAccount | None:
        """The account with its working orders and holdings, locked until the transaction ends; None when not opened."""
        ...

    def open(self, account_id: UUID, asset: str, wallet: Decimal) -> PaperAccount:
        """The account as `load` gives it, opened with `wallet` of `asset` first where it does not exist yet."""
        ...

    def save(
        self,
        account: PaperAccount,
        *,
        orders: Sequence[PaperOrder] = (),
        fills: Sequence[PaperFill] = (),
        fundings: Sequence[PaperFunding] = (),
    ) -> None:
        """Keep wallet, next number and holdings of `account`, new or changed `orders`, new `fills` and `fundings`.

        `account.orders` is not written: name every order that changed in `orders`. Needs `load` or `open` before.
        """
        ...

    def order(self, account_id: UUID, client_order_id: str) -> PaperOrder | None:
        """The newest order with that client order id, working or finished."""
        ...

    def fills(self, account_id: UUID, instrument: str, since: datetime) -> Sequence[PaperFill]:
        """Fills of `instrument` at or after `since`, oldest first."""
        ...

    def fundings(self, account_id: UUID, since: datetime) -> Sequence[PaperFunding]:
        """Funding payments at or after `since`, oldest first."""
        ...


class PaperBooks(Protocol):
    """Opens the paper book of a tenant as one transaction: kept when the block ends well, dropped when it raises."""

    def __call__(self, tenant_id: UUID) -> AbstractContextManager[PaperBook]:
        """The book; leaving the block raises Transient, or OutcomeUnknown when the commit's answer was lost."""
        ...
