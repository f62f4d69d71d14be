"""The operator's view: every tenant at once, read only, as of one instant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Table, select

from common.domain.blunder import Reviewed
from common.domain.capability import CapabilityRecord
from common.domain.decision import Decision, DecisionOutcome
from common.domain.fill import Fill
from common.domain.job import Job, JobState
from common.domain.market import Instrument
from common.domain.order import Order, OrderStatus
from common.domain.parameter_version import ParameterVersion
from common.domain.position import Position
from common.domain.risk.book import Environment, Halt, TradingState
from common.domain.signal import Signal
from common.domain.tenant import Account, Subscription, Tenant
from common.store import tables
from common.store.accounting import review_of
from common.store.audit import AuditEntry, AuditHead
from common.store.capability_records import CapabilityRecords
from common.store.codecs import (
    ACCOUNT,
    ADVICE,
    DECISION,
    FILL,
    HALT,
    JOB,
    ORDER,
    POSITION,
    SIGNAL,
    SUBSCRIPTION,
    TENANT,
    Codec,
)
from common.store.flattenings import Flattening, rows_of
from common.store.jobs import StageDepth
from common.store.ledger import page
from common.store.market import Instruments, Signals
from common.store.parameters import versions_of
from common.store.session import Session
from common.store.watch import EquitySnapshot, Heartbeat, Heartbeats

_COUNTS = """
    SELECT
        (SELECT count(*) FROM signals) AS signals,
        (SELECT json_object_agg(verdict, n) FROM (SELECT verdict, count(*) AS n FROM advice GROUP BY 1) AS x) AS advice,
        (SELECT json_object_agg(outcome, n) FROM (SELECT outcome, count(*) AS n FROM decisions GROUP BY 1) AS x)
            AS verdicts,
        (SELECT json_object_agg(veto_rule, n) FROM (
            SELECT veto_rule, count(*) AS n FROM decisions WHERE veto_rule IS NOT NULL GROUP BY 1) AS x) AS vetoes,
        (SELECT json_object_agg(status, n) FROM (SELECT status, count(*) AS n FROM orders GROUP BY 1) AS x) AS orders,
        (SELECT count(*) FROM fills) AS fills,
        (SELECT count(*) FROM positions WHERE opened_at IS NOT NULL) AS positions_opened,
        (SELECT count(*) FROM positions WHERE closed_at IS NOT NULL) AS positions_closed,
        (SELECT count(*) FROM tenants) AS tenants,
        (SELECT json_object_agg(state, n) FROM (SELECT state, count(*) AS n FROM jobs GROUP BY 1) AS x) AS jobs,
        (SELECT json_object_agg(stage, n) FROM (
            SELECT stage, count(*) AS n FROM jobs WHERE state = 'done' GROUP BY 1) AS x) AS finished
"""

# Only who was subscribed all the time from the candle's close to the signal's expiry must have an outcome, and only of
# the signal of the parameters that were its own at the close.
_WITHOUT_OUTCOME = """
    SELECT s.id, b.tenant_id, b.account_id
    FROM signals AS s
    JOIN subscriptions AS b ON b.venue = s.venue AND b.strategy = s.strategy AND b.timeframe = s.timeframe
        AND s.instrument = ANY (b.instruments)
        AND b.active_from <= s.closed_at AND (b.active_to IS NULL OR b.active_to > s.expires_at)
    LEFT JOIN parameter_activations AS v ON v.tenant_id = b.tenant_id AND v.strategy = b.strategy
        AND v.active_from <= s.closed_at AND (v.active_to IS NULL OR v.active_to > s.closed_at)
    WHERE s.closed_at <= :now AND split_part(s.strategy_version, '-', 2) = coalesce(v.digest, '') AND NOT EXISTS (
        SELECT FROM decisions AS d
        WHERE d.tenant_id = b.tenant_id AND d.account_id = b.account_id AND d.signal_id = s.id)
    ORDER BY s.closed_at, s.id, b.tenant_id, b.account_id
"""

# For every fill of an entry: when the venue had acknowledged stops over all that was filled until then. Stops that
# only followed the price are not counted, for they covered what was covered.
_PROTECTION = """
    WITH recent AS (
        SELECT tenant_id, id, closed_at FROM positions WHERE opened_at IS NOT NULL ORDER BY opened_at DESC LIMIT :most
    ), filled AS (
        SELECT f.tenant_id, f.position_id, f.occurred_at, r.closed_at,
            sum(f.quantity) OVER (PARTITION BY f.tenant_id, f.position_id ORDER BY f.occurred_at, f.trade_id) AS quantity
        FROM recent AS r
        JOIN fills AS f ON f.tenant_id = r.tenant_id AND f.position_id = r.id
        JOIN orders AS o ON o.tenant_id = f.tenant_id AND o.id = f.order_id AND o.role = 'entry'
    ), acknowledged AS (
        SELECT o.tenant_id, o.position_id, o.acknowledged_at AS at,
            sum(o.quantity) OVER (PARTITION BY o.tenant_id, o.position_id ORDER BY o.acknowledged_at, o.id) AS quantity
        FROM recent AS r
        JOIN orders AS o ON o.tenant_id = r.tenant_id AND o.position_id = r.id
        WHERE o.role = 'stop' AND o.replaces IS NULL AND o.acknowledged_at IS NOT NULL
    ), waited AS (
        SELECT f.occurred_at, f.closed_at, extract(epoch FROM (
            SELECT min(a.at) FROM acknowledged AS a
            WHERE a.tenant_id = f.tenant_id AND a.position_id = f.position_id AND a.quantity >= f.quantity)
            - f.occurred_at) AS seconds
        FROM filled AS f
    )
    SELECT count(*) AS fills, count(seconds) AS covered,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY seconds) AS p99, max(seconds) AS longest,
        count(*) FILTER (WHERE coalesce(seconds, extract(epoch FROM coalesce(closed_at, :now) - occurred_at)) > :deadline)
            AS late
    FROM waited
"""

_DEPTHS = """
    SELECT stage, count(*) AS pending, min(available_at) AS oldest FROM jobs
    WHERE state = 'pending' AND available_at <= :now GROUP BY stage ORDER BY stage
"""

_PROFITS = """
    SELECT t.id, t.name, t.state, round(coalesce(b.equity, 0), 8) AS equity,
        round(coalesce(p.net_profit, 0), 8) AS net_profit,
        round(coalesce(p.fees, 0), 8) AS fees, coalesce(p.held, 0) AS held
    FROM tenants AS t
    LEFT JOIN (SELECT tenant_id, sum(equity) AS equity FROM account_balances GROUP BY tenant_id) AS b
        ON b.tenant_id = t.id
    LEFT JOIN (
        SELECT tenant_id, sum(gross_profit - fees + funding) FILTER (WHERE closed_at IS NOT NULL) AS net_profit,
            sum(fees) AS fees, count(*) FILTER (WHERE quantity > 0) AS held
        FROM positions GROUP BY tenant_id) AS p ON p.tenant_id = t.id
    ORDER BY t.name
"""

# Every id that belongs to the same story as the given one: a signal, or anything that came of it.
_STORY = """
    WITH named AS (
        SELECT signal_id, CAST(NULL AS uuid) AS position_id FROM decisions WHERE id = :id OR signal_id = :id
        UNION SELECT signal_id, CAST(NULL AS uuid) FROM advice WHERE id = :id
        UNION SELECT signal_id, position_id FROM orders WHERE id = :id OR position_id = :id OR signal_id = :id
        UNION SELECT signal_id, id FROM positions WHERE id = :id OR signal_id = :id
        UNION SELECT id, CAST(NULL AS uuid) FROM signals WHERE id = :id
        UNION SELECT correlation_id, CAST(NULL AS uuid) FROM jobs WHERE id = :id
    )
    SELECT array_agg(DISTINCT signal_id) FILTER (WHERE signal_id IS NOT NULL) AS signals,
        array_agg(DISTINCT position_id) FILTER (WHERE position_id IS NOT NULL) AS positions
    FROM named
"""


@dataclass(frozen=True, slots=True)
class FleetCounts:
    """What the fleet has done since its database was made; `jobs` by state, `finished` ones by stage."""

    signals: int
    advice: Mapping[str, int]
    verdicts: Mapping[str, int]
    vetoes: Mapping[str, int]
    orders: Mapping[str, int]
    fills: int
    positions_opened: int
    positions_closed: int
    tenants: int
    jobs: Mapping[str, int]
    finished: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Protection:
    """How soon fills of entries were covered by stops that the venue acknowledged, over the newest positions.

    `covered` of `fills` were; those that were not were left before. Times are venue seconds from fill to acknowledgement,
    None where nothing was covered; `late` fills were naked for longer than the deadline.
    """

    fills: int
    covered: int
    p50: Decimal | None
    p99: Decimal | None
    longest: Decimal | None
    late: int


class MissingOutcome(NamedTuple):
    """A subscriber that a signal has no outcome for."""

    signal_id: UUID
    tenant_id: UUID
    account_id: UUID


@dataclass(frozen=True, slots=True)
class TenantProfit:
    """What a tenant has and what it earned; `net_profit` is of closed positions, after fees and funding."""

    tenant_id: UUID
    name: str
    state: TradingState
    equity: Decimal
    net_profit: Decimal
    fees: Decimal
    open_positions: int


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """An account with what its venue must agree to."""

    tenant_id: UUID
    tenant: str
    account: Account
    equity: Decimal | None
    wallet: Decimal | None

    @property
    def is_live(self) -> bool:
        """Whether its orders go to a real venue."""
        return self.account.environment is Environment.LIVE


class OperatorView:
    """Reads over all tenants; `tenant` narrows them to one."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def counts(self) -> FleetCounts:
        """What has been done, in numbers."""
        row = self._session.first(_COUNTS)
        counts = dict(row._mapping) if row else {}
        return FleetCounts(**{name: {} if value is None else value for name, value in counts.items()})

    def depths(self, now: datetime) -> list[StageDepth]:
        """What is due in each stage."""
        rows = self._session.all(_DEPTHS, {"now": now})
        return [StageDepth(row.stage, row.pending, max((now - row.oldest).total_seconds(), 0.0)) for row in rows]

    def protection(self, now: datetime, deadline: timedelta, positions_max: int = 1000) -> Protection:
        """How soon stops rested for what was filled, over the newest `positions_max` positions."""
        parameters = {"now": now, "deadline": deadline.total_seconds(), "most": positions_max}
        row = self._session.first(_PROTECTION, parameters)
        return Protection(**row._mapping) if row else Protection(0, 0, None, None, None, 0)

    def tenants(self) -> list[Tenant]:
        """All tenants by name."""
        return [TENANT.value(row) for row in self._session.all(select(tables.tenants).order_by(tables.tenants.c.name))]

    def tenant_profits(self) -> list[TenantProfit]:
        """Every tenant's equity, profit and fees, by name."""
        return [
            TenantProfit(row.id, row.name, TradingState(row.state), row.equity, row.net_profit, row.fees, row.held)
            for row in self._session.all(_PROFITS)
        ]

    def accounts(self, tenant: UUID | None = None) -> list[Account]:
        """Accounts by tenant and name."""
        table = tables.accounts
        statement = _of(select(table), table, tenant).order_by(table.c.tenant_id, table.c.name)
        return [ACCOUNT.value(row) for row in self._session.all(statement)]

    def subscriptions(self, tenant: UUID | None = None) -> list[Subscription]:
        """Subscriptions by tenant, oldest first."""
        table = tables.subscriptions
        statement = _of(select(table), table, tenant).order_by(table.c.tenant_id, table.c.active_from, table.c.id)
        return [SUBSCRIPTION.value(row) for row in self._session.all(statement)]

    def parameters(self, tenant: UUID | None = None, strategy: str | None = None) -> list[ParameterVersion]:
        """Parameter sets by tenant and strategy, the newest first."""
        return versions_of(self._session, tenant, strategy)

    def instruments(self, venue: str) -> list[Instrument]:
        """All instruments of `venue` by symbol."""
        return Instruments(self._session).list(venue)

    def signals(self, limit: int = 50) -> list[Signal]:
        """The newest first."""
        return Signals(self._session).list(limit=limit)

    def heartbeats(self) -> list[Heartbeat]:
        """Every worker ever seen and not pruned."""
        return Heartbeats(self._session).list()

    def halts(self) -> list[Halt]:
        """Every halt in force, whoever imposed it, oldest first."""
        statement = select(tables.halts).where(tables.halts.c.lifted_at.is_(None)).order_by(tables.halts.c.epoch)
        return [HALT.value(row) for row in self._session.all(statement)]

    def flattenings(self) -> list[Flattening]:
        """Every account under every FLATTEN halt there was, the newest halt first."""
        return rows_of(self._session)

    def capability_records(self) -> list[CapabilityRecord]:
        """What probes found out about venues."""
        return CapabilityRecords(self._session).list()

    def decisions(
        self,
        tenant: UUID | None = None,
        limit: int = 50,
        before: datetime | None = None,
        *,
        outcome: DecisionOutcome | None = None,
    ) -> list[Decision]:
        """The newest first."""
        table = tables.decisions
        statement = page(table, table.c.occurred_at, limit, before, tenant_id=tenant, outcome=outcome)
        return [DECISION.value(row) for row in self._session.all(statement)]

    def orders(
        self,
        tenant: UUID | None = None,
        limit: int = 50,
        before: datetime | None = None,
        *,
        status: OrderStatus | None = None,
    ) -> list[Order]:
        """The newest first."""
        table = tables.orders
        statement = page(table, table.c.created_at, limit, before, tenant_id=tenant, status=status)
        return [ORDER.value(row) for row in self._session.all(statement)]

    def positions(
        self, tenant: UUID | None = None, limit: int = 50, before: datetime | None = None, *, open_only: bool = False
    ) -> list[Position]:
        """Those opened last first."""
        table = tables.positions
        statement = page(table, table.c.opened_at, limit, before, tenant_id=tenant)
        if open_only:
            statement = statement.where(table.c.quantity > 0)
        return [POSITION.value(row) for row in self._session.all(statement)]

    def fills(self, tenant: UUID | None = None, limit: int = 50, before: datetime | None = None) -> list[Fill]:
        """The newest first."""
        statement = page(tables.fills, tables.fills.c.occurred_at, limit, before, tenant_id=tenant)
        return [FILL.value(row) for row in self._session.all(statement)]

    def equity(
        self, tenant: UUID | None = None, limit: int = 500, before: datetime | None = None
    ) -> list[EquitySnapshot]:
        """Snapshots, the newest first."""
        statement = page(tables.equity, tables.equity.c.occurred_at, limit, before, tenant_id=tenant)
        return [EquitySnapshot(**row._mapping) for row in self._session.all(statement)]

    def venue_accounts(self) -> list[VenueAccount]:
        """Every account with its tenant's name and last balance, by tenant and name."""
        rows = self._session.all(
            """
            SELECT a.*, t.name AS tenant, b.equity, b.wallet FROM accounts AS a
            JOIN tenants AS t ON t.id = a.tenant_id
            LEFT JOIN account_balances AS b ON b.tenant_id = a.tenant_id AND b.account_id = a.id
            ORDER BY t.name, a.name
            """
        )
        return [VenueAccount(row.tenant_id, row.tenant, ACCOUNT.value(row), row.equity, row.wallet) for row in rows]

    def audit_heads(self) -> dict[UUID | None, AuditHead]:
        """The end of every chain, the platform's under None: what is to be anchored outside."""
        rows = self._session.all(
            """
            SELECT tenant_id, seq, hash FROM audit_heads
            UNION ALL SELECT NULL, seq, hash FROM platform_audit_heads ORDER BY tenant_id
            """
        )
        return {row.tenant_id: AuditHead(row.seq, row.hash) for row in rows}

    def signals_without_outcome(self, now: datetime) -> list[MissingOutcome]:
        """Who still waits for an outcome of a signal raised until `now`."""
        return [MissingOutcome(*row) for row in self._session.all(_WITHOUT_OUTCOME, {"now": now})]

    def jobs(self, state: JobState | None = None, limit: int = 50) -> list[Job]:
        """The newest first."""
        statement = page(tables.jobs, tables.jobs.c.created_at, limit, None, state=state)
        return [JOB.value(row) for row in self._session.all(statement)]

    def trail(self, subject: UUID | str) -> dict[str, list[Any]] | None:
        """All that belongs to the story of a signal, advice, decision, order, position or job, each oldest first.

        An order may also be named by its client order id. Keys: signals, advice, decisions, orders, fills, positions,
        reviews, jobs, audit. None when nothing is known under that id.
        """
        subject_id = self._identity(subject)
        if subject_id is None:
            return None
        story = self._session.first(_STORY, {"id": subject_id})
        signals = (story.signals if story else None) or []
        positions = (story.positions if story else None) or []
        orders = self._story(tables.orders, ORDER, "created_at", signal_id=signals, position_id=positions)
        position_ids = sorted({order.intent.position_id for order in orders} | set(positions))
        trail: dict[str, list[Any]] = {
            "signals": self._story(tables.signals, SIGNAL, "closed_at", id=signals),
            "advice": self._story(tables.advice, ADVICE, "occurred_at", signal_id=signals),
            "decisions": self._story(tables.decisions, DECISION, "occurred_at", signal_id=signals),
            "orders": orders,
            "fills": self._story(tables.fills, FILL, "occurred_at", position_id=position_ids),
            "positions": self._story(tables.positions, POSITION, "opened_at", id=position_ids),
            "reviews": self._reviews(position_ids),
            "jobs": self._story(tables.jobs, JOB, "created_at", correlation_id=[*signals, subject_id], id=[subject_id]),
        }
        subjects = [
            item.id for name in ("signals", "advice", "decisions", "orders", "positions") for item in trail[name]
        ]
        trail["audit"] = self._audit([str(subject) for subject in [*subjects, subject_id]])
        return trail if any(trail.values()) else None

    def _identity(self, subject: UUID | str) -> UUID | None:
        if isinstance(subject, UUID):
            return subject
        try:
            return UUID(subject)
        except ValueError:
            statement = "SELECT id FROM orders WHERE client_order_id = :subject ORDER BY created_at DESC LIMIT 1"
            found: UUID | None = self._session.scalar(statement, {"subject": subject})
            return found

    def _story(self, table: Table, codec: Codec[Any], at: str, **ids: list[UUID]) -> list[Any]:
        found: dict[Any, Any] = {}
        for name, wanted in ids.items():
            if wanted:
                statement = select(table).where(table.c[name].in_(wanted)).order_by(table.c[at], *table.primary_key)
                for row in self._session.all(statement):
                    key = tuple(row._mapping[column.name] for column in table.primary_key)
                    found.setdefault(key, codec.value(row))
        return list(found.values())

    def _reviews(self, positions: list[UUID]) -> list[Reviewed]:
        table = tables.reviews
        statement = select(table).where(table.c.position_id.in_(positions)).order_by(table.c.closed_at)
        return [review_of(row) for row in self._session.all(statement)] if positions else []

    def _audit(self, subjects: list[str]) -> list[AuditEntry]:
        rows = self._session.all(
            """
            SELECT seq, kind, subject, payload, occurred_at, hash FROM audit
            WHERE subject = ANY (CAST(:subjects AS text[])) ORDER BY tenant_id, seq
            """,
            {"subjects": subjects},
        )
        return [AuditEntry(*row) for row in rows]


def _of(statement: Any, table: Table, tenant: UUID | None) -> Any:
    return statement if tenant is None else statement.where(table.c.tenant_id == tenant)
