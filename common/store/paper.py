"""The book of the paper venue: its accounts, orders and fills, of one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text

from common.domain.errors import Permanent
from common.domain.paper import PaperAccount, PaperFill, PaperFunding, PaperOrder
from common.store import tables
from common.store.codecs import PAPER_FILL, PAPER_FUNDING, PAPER_ORDER, PAPER_POSITION
from common.store.session import Session

_LOCK = "SELECT asset, wallet, next_number FROM paper_accounts WHERE account_id = :account FOR UPDATE"


class PaperBook:
    """Keeps what the paper venue says of itself; the account's row is locked by `load` and `open`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def load(self, account_id: UUID) -> PaperAccount | None:
        """The account as last saved, locked until this transaction ends."""
        row = self._session.first(_LOCK, {"account": account_id})
        if row is None:
            return None
        working = select(tables.paper_orders).where(
            tables.paper_orders.c.account_id == account_id, text(tables.LIVE_ORDER)
        )
        held = select(tables.paper_positions).where(tables.paper_positions.c.account_id == account_id)
        orders = self._session.all(working.order_by(tables.paper_orders.c.number))
        positions = self._session.all(held.order_by(tables.paper_positions.c.instrument))
        return PaperAccount(
            account_id=account_id,
            asset=row.asset,
            wallet=row.wallet,
            next_number=row.next_number,
            orders=tuple(PAPER_ORDER.value(order) for order in orders),
            positions=tuple(PAPER_POSITION.value(position) for position in positions),
        )

    def open(self, account_id: UUID, asset: str, wallet: Decimal) -> PaperAccount:
        """The account as last saved, opened with `wallet` of `asset` when it is new; locked."""
        row = self._place(account_id) | {"asset": asset, "wallet": wallet, "next_number": 1}
        account = self.load(account_id)
        if account is None:
            self._session.add_once(tables.paper_accounts, row)
            account = self.load(account_id)
        if account is None:
            raise Permanent(f"paper account {account_id} could not be opened")
        return account

    def save(
        self,
        account: PaperAccount,
        *,
        orders: Sequence[PaperOrder] = (),
        fills: Sequence[PaperFill] = (),
        fundings: Sequence[PaperFunding] = (),
    ) -> None:
        """Keep the account, its changed orders and its new fills and fundings."""
        place = self._place(account.account_id)
        row = {"asset": account.asset, "wallet": account.wallet, "next_number": account.next_number}
        self._session.put(tables.paper_accounts, place | row)
        for order in orders:
            self._session.put(tables.paper_orders, place | PAPER_ORDER.row(order))
        for fill in fills:
            self._session.add(tables.paper_fills, place | PAPER_FILL.row(fill))
        for funding in fundings:
            self._session.add(tables.paper_fundings, place | PAPER_FUNDING.row(funding))
        self._save_positions(account, place)

    def _save_positions(self, account: PaperAccount, place: dict[str, Any]) -> None:
        table = tables.paper_positions
        held = [position for position in account.positions if position.quantity != 0]
        gone = table.c.instrument.not_in([position.instrument for position in held])
        self._session.execute(delete(table).where(table.c.account_id == account.account_id, gone))
        for position in held:
            self._session.put(table, place | PAPER_POSITION.row(position))

    def _place(self, account_id: UUID) -> dict[str, Any]:
        return {"tenant_id": self._session.tenant(), "account_id": account_id}

    def order(self, account_id: UUID, client_order_id: str) -> PaperOrder | None:
        """The newest order with that client order id, working or finished."""
        table = tables.paper_orders
        statement = select(table).where(table.c.account_id == account_id, table.c.client_order_id == client_order_id)
        row = self._session.first(statement.order_by(table.c.number.desc()).limit(1))
        return PAPER_ORDER.value(row) if row else None

    def fills(self, account_id: UUID, instrument: str, since: datetime) -> list[PaperFill]:
        """Fills of `instrument` at or after `since`, oldest first."""
        table = tables.paper_fills
        statement = select(table).where(table.c.account_id == account_id, table.c.instrument == instrument)
        rows = self._session.all(statement.where(table.c.occurred_at >= since).order_by(table.c.number))
        return [PAPER_FILL.value(row) for row in rows]

    def fundings(self, account_id: UUID, since: datetime) -> list[PaperFunding]:
        """Funding payments at or after `since`, oldest first."""
        table = tables.paper_fundings
        statement = select(table).where(table.c.account_id == account_id, table.c.occurred_at >= since)
        return [PAPER_FUNDING.value(row) for row in self._session.all(statement.order_by(table.c.number))]
