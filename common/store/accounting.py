"""What is booked beside trading: cash flows, what venues' statements come to, and reviews of closed positions."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, func, literal, select, tuple_

from common.domain.blunder import BlunderLabel, Evidence, Grade, Review, Reviewed
from common.domain.codec import decode, encode
from common.domain.position import Position
from common.domain.postings import CashFlow, FlowKind
from common.store import tables
from common.store.codecs import CASH_FLOW, POSITION
from common.store.ledger import page
from common.store.session import AnyRow, Session


@dataclass(frozen=True, slots=True)
class KeptStatement:
    """What the last comparison of an account's wallet with our book found; amounts in `asset`.

    `first_difference` names the first item that differs, empty while they agree. `agreed_at` is when they last did,
    `differs_since` when the difference was first seen, `alerted_at` when somebody was told.
    """

    account_id: UUID
    asset: str
    wallet: Decimal
    expected: Decimal
    first_difference: str
    checked_at: datetime
    agreed_at: datetime
    differs_since: datetime | None = None
    alerted_at: datetime | None = None

    @property
    def difference(self) -> Decimal:
        """What the wallet holds beyond what our book explains."""
        return self.wallet - self.expected


class CashFlows:
    """Movements of wallets that trading does not explain, each booked once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, flow: CashFlow) -> bool:
        """Book `flow`; False when it was booked before."""
        return self._session.add_once(tables.cash_flows, CASH_FLOW.row(flow))

    def of_account(self, account_id: UUID) -> builtins.list[CashFlow]:
        """Every flow of the account, oldest first."""
        table = tables.cash_flows
        statement = select(table).where(table.c.account_id == account_id)
        rows = self._session.all(statement.order_by(table.c.occurred_at, table.c.kind, table.c.income_id))
        return [CASH_FLOW.value(row) for row in rows]

    def opening(self, account_id: UUID) -> CashFlow | None:
        """What the wallet held when the account was first looked at; None before that."""
        opening = (flow for flow in self.of_account(account_id) if flow.kind is FlowKind.OPENING)
        return next(opening, None)


class Statements:
    """The last comparison of each account's wallet with our book."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, account_id: UUID) -> KeptStatement | None:
        """The last comparison, if there was one."""
        table = tables.statements
        row = self._session.first(select(table).where(table.c.account_id == account_id))
        return statement_of(row) if row else None

    def keep(self, statement: KeptStatement) -> None:
        """Keep `statement` in place of the one before."""
        row = {name: getattr(statement, name) for name in _STATEMENT}
        self._session.put(tables.statements, row | {"tenant_id": self._session.tenant()})


_STATEMENT = (
    *("account_id", "asset", "wallet", "expected", "first_difference"),
    *("checked_at", "agreed_at", "differs_since", "alerted_at"),
)


def statement_of(row: AnyRow) -> KeptStatement:
    """The statement a row holds."""
    return KeptStatement(**{name: row._mapping[name] for name in _STATEMENT})


class Reviews:
    """What was wrong with closed positions; each is reviewed once."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, reviewed: Reviewed) -> bool:
        """Keep a review; False when the position has one."""
        review = reviewed.review
        row = {
            "tenant_id": reviewed.tenant_id,
            "position_id": reviewed.position_id,
            "account_id": reviewed.account_id,
            "labels": [label.value for label in review.labels],
            "severity": review.severity,
            "grade": review.grade.value,
            "evidence": encode(reviewed.evidence),
            "closed_at": reviewed.closed_at,
            "reviewed_at": reviewed.reviewed_at,
        }
        return self._session.add_once(tables.reviews, row)

    def get(self, position_id: UUID) -> Reviewed | None:
        """The review of a position, if it has one."""
        table = tables.reviews
        row = self._session.first(select(table).where(table.c.position_id == position_id))
        return review_of(row) if row else None

    def due(self, account_id: UUID, limit: int) -> builtins.list[Position]:
        """Closed positions of the account without a review, those closed first first."""
        position, review = tables.positions, tables.reviews
        is_reviewed = select(literal(1)).where(
            review.c.tenant_id == position.c.tenant_id, review.c.position_id == position.c.id
        )
        statement = (
            select(position)
            .where(position.c.account_id == account_id, position.c.closed_at.is_not(None), ~is_reviewed.exists())
            .order_by(position.c.closed_at, position.c.id)
            .limit(limit)
        )
        return [POSITION.value(row) for row in self._session.all(statement)]

    def list(self, limit: int = 50, before: datetime | None = None) -> builtins.list[tuple[Reviewed, Position]]:
        """Reviews with their positions, those closed last first."""
        return with_positions(self._session, page(tables.reviews, tables.reviews.c.closed_at, limit, before))

    def of_tenant(self) -> builtins.list[Review]:
        """Every review of the tenant, oldest first."""
        table = tables.reviews
        rows = self._session.all(
            select(table.c.labels, table.c.severity, table.c.grade).order_by(table.c.closed_at, table.c.position_id)
        )
        return [_review(row) for row in rows]


def with_positions(session: Session, statement: Select[Any]) -> list[tuple[Reviewed, Position]]:
    """The reviews that `statement` selects, each with its position, in its order."""
    found = [review_of(row) for row in session.all(statement)]
    table = tables.positions
    keys = [(item.tenant_id, item.position_id) for item in found]
    rows = session.all(select(table).where(tuple_(table.c.tenant_id, table.c.id).in_(keys))) if keys else []
    positions = {position.id: position for position in (POSITION.value(row) for row in rows)}
    return [(item, positions[item.position_id]) for item in found]


def review_of(row: AnyRow) -> Reviewed:
    """The review a row holds."""
    return Reviewed(
        tenant_id=row.tenant_id,
        account_id=row.account_id,
        position_id=row.position_id,
        review=_review(row),
        evidence=decode(Evidence, row.evidence),
        closed_at=row.closed_at,
        reviewed_at=row.reviewed_at,
    )


def _review(row: AnyRow) -> Review:
    return Review(tuple(BlunderLabel(label) for label in row.labels), row.severity, Grade(row.grade))


_CLOSED = tables.positions.c.closed_at.is_not(None)
_CLOSED_LAST_FIRST = (tables.positions.c.closed_at.desc(), tables.positions.c.id)

_LAST_OVERALL = select(tables.positions).where(_CLOSED).order_by(*_CLOSED_LAST_FIRST).limit(bindparam("limit"))
_LAST_OF_INSTRUMENT = _LAST_OVERALL.where(tables.positions.c.instrument == bindparam("instrument"))


def _last_by_instrument() -> Select[Any]:
    rank = func.row_number().over(partition_by=tables.positions.c.instrument, order_by=_CLOSED_LAST_FIRST).label("rank")
    ranked = select(tables.positions, rank).where(_CLOSED).subquery()
    return select(ranked).where(ranked.c.rank <= bindparam("limit")).order_by(ranked.c.closed_at.desc(), ranked.c.id)


_LAST_BY_INSTRUMENT = _last_by_instrument()


class Recent:
    """The last closed positions of a tenant, over all its accounts."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def overall(self, limit: int) -> list[Position]:
        """The last `limit`, those closed last first."""
        return self._all(_LAST_OVERALL, limit=limit)

    def of_instrument(self, instrument: str, limit: int) -> list[Position]:
        """The last `limit` on `instrument`, those closed last first."""
        return self._all(_LAST_OF_INSTRUMENT, instrument=instrument, limit=limit)

    def by_instrument(self, limit: int) -> list[Position]:
        """The last `limit` on every instrument, those closed last first."""
        return self._all(_LAST_BY_INSTRUMENT, limit=limit)

    def _all(self, statement: Select[Any], **given: Any) -> list[Position]:
        return [POSITION.value(row) for row in self._session.all(statement, given)]
