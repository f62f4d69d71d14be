"""Everything that counts against a tenant's limits, read and written under the lock of its risk row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.advice import AdvisorFallback
from common.domain.errors import NotFound
from common.domain.order import OrderStatus
from common.domain.risk.book import Book, Environment, Exposure, Halt, HaltMode, HaltScope, Record, TradingState
from common.domain.risk.verdict import Reservation
from common.domain.signal import Side, Signal
from common.store import tables
from common.store.codecs import RESERVATION
from common.store.session import AnyRow, Session

_LOCK = "SELECT tenant_id FROM tenant_risk FOR UPDATE"

_EXPOSURES = """
    SELECT p.instrument, p.strategy, p.side, p.quantity, p.quantity * p.entry_price AS notional,
        p.quantity * p.entry_price / p.leverage AS margin, true AS is_position, p.account_id, p.id,
        p.quantity * (abs(p.entry_price - CAST(p.exits ->> 'stop' AS numeric))
            + coalesce(i.taker_fee, 0) * (p.entry_price + CAST(p.exits ->> 'stop' AS numeric))) AS risk
    FROM positions AS p LEFT JOIN instruments AS i ON i.venue = p.venue AND i.symbol = p.instrument
    WHERE p.quantity > 0
    UNION ALL
    SELECT o.instrument, coalesce(s.strategy, ''), CASE o.side WHEN 'buy' THEN 'long' ELSE 'short' END,
        o.quantity - o.filled_quantity, r.notional * (o.quantity - o.filled_quantity) / o.quantity,
        r.margin * (o.quantity - o.filled_quantity) / o.quantity, false, o.account_id, o.id,
        r.risk * (o.quantity - o.filled_quantity) / o.quantity
    FROM reservations AS r
    JOIN orders AS o ON o.tenant_id = r.tenant_id AND o.id = r.order_id
    LEFT JOIN signals AS s ON s.id = o.signal_id
    WHERE o.quantity > o.filled_quantity
    UNION ALL
    SELECT o.instrument, coalesce(s.strategy, ''), CASE o.side WHEN 'buy' THEN 'long' ELSE 'short' END,
        o.quantity - o.filled_quantity, (o.quantity - o.filled_quantity) * o.price,
        (o.quantity - o.filled_quantity) * o.price / o.leverage, false, o.account_id, o.id, 0
    FROM orders AS o
    LEFT JOIN signals AS s ON s.id = o.signal_id
    WHERE o.role = 'entry' AND o.quantity > o.filled_quantity
        AND o.status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled')
        AND NOT EXISTS (SELECT FROM reservations AS r WHERE r.tenant_id = o.tenant_id AND r.order_id = o.id)
"""

# Trades before the end of a cool-down are forgiven: the breaker starts counting afresh from there. Of those that closed at
# one instant the one that was entered first counts as closed first, as in a backtest.
_BOOK = f"""
    WITH account AS (
        SELECT a.id, a.venue, a.environment, a.is_reconciled, t.state,
            a.live_enabled AND t.live_enabled AS live_allowed,
            coalesce(b.equity, 0) AS equity, coalesce(b.available, 0) AS available,
            coalesce(b.equity - b.wallet, 0) AS unrealised,
            k.peak_equity, k.cooling_until, k.cooling_reason
        FROM accounts AS a
        JOIN tenants AS t ON t.id = a.tenant_id
        JOIN account_risk AS k ON k.tenant_id = a.tenant_id AND k.account_id = a.id
        LEFT JOIN account_balances AS b ON b.tenant_id = a.tenant_id AND b.account_id = a.id
        WHERE a.id = :account
    ),
    exposed AS ({_EXPOSURES}),
    recent AS (
        SELECT p.gross_profit - p.fees + p.funding AS net,
            row_number() OVER (
                ORDER BY p.closed_at DESC, p.opened_at DESC, p.instrument DESC, p.strategy DESC, p.id) AS place
        FROM positions AS p, account
        WHERE p.account_id = :account AND p.closed_at IS NOT NULL
            AND p.closed_at > coalesce(account.cooling_until, '-infinity')
        ORDER BY place LIMIT :window
    ),
    streak AS (SELECT count(*) FILTER (WHERE net >= 0) OVER (ORDER BY place) AS stops FROM recent)
    SELECT account.*,
        (SELECT epoch FROM halt_epoch WHERE is_only) AS epoch,
        (SELECT json_agg(json_build_array(instrument, strategy, side, quantity::text, notional::text, margin::text,
            is_position, account_id, risk::text) ORDER BY is_position DESC, id) FROM exposed) AS exposures,
        (SELECT json_agg(json_build_array(scope, subject, mode, epoch, reason, since) ORDER BY epoch) FROM halts
            WHERE lifted_at IS NULL AND (scope IN ('platform', 'strategy', 'instrument')
                OR (scope = 'venue' AND subject = account.venue)
                OR (scope = 'tenant' AND subject = :tenant))) AS halts,
        (SELECT coalesce(sum(gross_profit - fees + funding), 0) FROM positions
            WHERE account_id = :account AND quantity > 0)
        + (SELECT coalesce(sum(gross_profit - fees + funding), 0) FROM positions
            WHERE account_id = :account AND closed_at >= :day) AS realised,
        coalesce(
            (SELECT e.equity FROM equity AS e
                WHERE e.account_id = :account AND e.occurred_at <= :day ORDER BY e.occurred_at DESC LIMIT 1),
            (SELECT e.equity FROM equity AS e
                WHERE e.account_id = :account AND e.occurred_at > :day ORDER BY e.occurred_at LIMIT 1),
            account.equity) AS day_start_equity,
        (SELECT count(*) FROM streak WHERE stops = 0) AS losses,
        (SELECT count(*) FROM recent) AS closed_trades,
        (SELECT avg(CASE WHEN net > 0 THEN 1 ELSE 0 END) FROM recent) AS win_rate,
        (SELECT avg(net) / nullif(stddev_samp(net), 0) FROM recent) AS sharpe,
        (SELECT json_object_agg(symbol, until ORDER BY symbol) FROM symbol_cooldowns
            WHERE account_id = :account AND until > :now) AS symbols_cooling,
        (SELECT count(*) FROM orders
            WHERE account_id = :account AND created_at > CAST(:now AS timestamptz) - interval '1 minute'
                AND created_at <= :now) AS last_minute,
        (SELECT count(*) FROM orders
            WHERE account_id = :account AND created_at > CAST(:now AS timestamptz) - interval '1 hour'
                AND created_at <= :now) AS last_hour,
        (SELECT array_agg(DISTINCT instrument) FROM quarantine
            WHERE account_id = :account AND cleared_at IS NULL) AS quarantined,
        (SELECT json_agg(json_build_array(advisor, on_advisor_unavailable) ORDER BY id) FROM subscriptions
            WHERE account_id = :account
                AND (CAST(:strategy AS text) IS NULL OR (strategy = :strategy AND timeframe = :timeframe
                    AND CAST(:instrument AS text) = ANY (instruments)))) AS advisors
    FROM account
"""

_HELD = """
    SELECT r.order_id, r.account_id, r.notional, r.margin, r.risk, r.lapses_at, o.status
    FROM reservations AS r JOIN orders AS o ON o.tenant_id = r.tenant_id AND o.id = r.order_id
    ORDER BY r.order_id
"""

_START_COOLDOWN = """
    UPDATE account_risk SET cooling_until = :until, cooling_reason = :reason, peak_equity = coalesce(
        (SELECT b.equity FROM account_balances AS b WHERE b.account_id = :account), 0)
    WHERE account_id = :account
"""


@dataclass(frozen=True, slots=True)
class HeldReservation:
    """A reservation and the state of the order it was made for; from `lapses_at` on a comparison of books may release it."""

    order_id: UUID
    account_id: UUID
    reservation: Reservation
    status: OrderStatus
    lapses_at: datetime | None = None


class Risk:
    """The risk rows of one tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lock(self) -> None:
        """Take the tenant's risk row until this transaction ends: the first lock of every transaction that writes."""
        tenant = self._session.tenant()
        if self._session.first(_LOCK) is None:
            self._session.add_once(tables.tenant_risk, {"tenant_id": tenant})
            self._session.execute(_LOCK)

    def lock_book(
        self,
        account_id: UUID,
        now: datetime,
        signal: Signal | None = None,
        *,
        window: int = 50,
        minimum_sample: int = 20,
    ) -> Book:
        """The account's book, true until this transaction ends: the tenant's risk row is locked first.

        Results count the last `window` positions closed since the last cool-down; rates are None below
        `minimum_sample`. With `signal`, what is said of the advisor comes from the subscriptions that want it.
        """
        tenant = self._session.tenant()
        self.lock()
        day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        parameters = {"account": account_id, "tenant": str(tenant), "now": now, "day": day, "window": window}
        parameters |= {
            "strategy": signal.strategy if signal else None,
            "timeframe": signal.timeframe if signal else None,
            "instrument": signal.instrument if signal else None,
        }
        row = self._session.first(_BOOK, parameters)
        if row is None:
            raise NotFound("account", account_id)
        return _book(tenant, row, minimum_sample)

    def add_reservation(self, order_id: UUID, account_id: UUID, reservation: Reservation) -> None:
        """Hold `reservation` for the order."""
        row = {"tenant_id": self._session.tenant(), "order_id": order_id, "account_id": account_id}
        self._session.add(tables.reservations, row | RESERVATION.row(reservation))

    def release_reservation(self, order_id: UUID) -> bool:
        """Release what the order holds; False when it holds nothing."""
        return self._session.changed("DELETE FROM reservations WHERE order_id = :order", {"order": order_id}) == 1

    def let_lapse(self, order_id: UUID, at: datetime) -> None:
        """Let what the order holds be reaped from `at` on."""
        statement = "UPDATE reservations SET lapses_at = :at WHERE order_id = :order"
        self._session.execute(statement, {"order": order_id, "at": at})

    def reap_reservations(self, account_id: UUID, looked_at: datetime) -> int:
        """Release what had lapsed when the venue was looked at and showed nothing more of it; how many there were."""
        statement = "DELETE FROM reservations WHERE account_id = :account AND lapses_at <= :looked_at"
        return self._session.changed(statement, {"account": account_id, "looked_at": looked_at})

    def held(self) -> list[HeldReservation]:
        """Every reservation that was not released."""
        return [
            HeldReservation(
                row.order_id, row.account_id, RESERVATION.value(row), OrderStatus(row.status), row.lapses_at
            )
            for row in self._session.all(_HELD)
        ]

    def start_cooldown(self, account_id: UUID, until: datetime, reason: str) -> None:
        """Rest the account until `until`; its record and its peak start afresh from there."""
        self._session.execute(_START_COOLDOWN, {"account": account_id, "until": until, "reason": reason})

    def symbol_cooldown(self, account_id: UUID, symbol: str, until: datetime) -> None:
        """Rest `symbol` on the account until `until`."""
        row = {"tenant_id": self._session.tenant(), "account_id": account_id, "symbol": symbol, "until": until}
        self._session.put(tables.symbol_cooldowns, row)

    def scale_peak(self, account_id: UUID, factor: Decimal) -> None:
        """Multiply the highest equity seen by `factor`: what was withdrawn was not lost."""
        self._session.execute(
            "UPDATE account_risk SET peak_equity = peak_equity * :factor WHERE account_id = :account",
            {"account": account_id, "factor": factor},
        )

    def raise_peak(self, account_id: UUID, equity: Decimal) -> None:
        """Remember `equity` if it is the highest seen since the last cool-down."""
        statement = "UPDATE account_risk SET peak_equity = :equity WHERE account_id = :id AND peak_equity < :equity"
        self._session.changed(statement, {"id": account_id, "equity": equity})


def _book(tenant: UUID, row: AnyRow, minimum_sample: int) -> Book:
    advisors = row.advisors or []
    waits = not advisors or any(fallback == AdvisorFallback.WAIT for _, fallback in advisors)
    return Book(
        tenant_id=tenant,
        account_id=row.id,
        environment=Environment(row.environment),
        tenant_state=TradingState(row.state),
        equity=row.equity,
        available=row.available,
        exposures=tuple(_exposure(item) for item in row.exposures or ()),
        record=_record(row, minimum_sample),
        halts=tuple(_halt(item) for item in row.halts or ()),
        halt_epoch=row.epoch,
        live_allowed=row.live_allowed,
        is_reconciled=row.is_reconciled,
        quarantined=frozenset(row.quarantined or ()),
        on_advisor_unavailable=AdvisorFallback.WAIT if waits else AdvisorFallback.TECHNICAL,
        advisor_required=any(advisor is not None for advisor, _ in advisors),
    )


def _record(row: AnyRow, minimum_sample: int) -> Record:
    is_enough = row.closed_trades >= minimum_sample
    return Record(
        day_profit=row.realised + row.unrealised,
        day_start_equity=row.day_start_equity,
        peak_equity=max(row.peak_equity, row.equity),
        consecutive_losses=row.losses,
        closed_trades=row.closed_trades,
        win_rate=row.win_rate if is_enough else None,
        sharpe=row.sharpe if is_enough else None,
        cooling_until=row.cooling_until,
        cooling_reason=row.cooling_reason,
        symbol_cooling_until=_instants(row.symbols_cooling or {}),
        orders_last_minute=row.last_minute,
        orders_last_hour=row.last_hour,
    )


def _exposure(item: list[Any]) -> Exposure:
    instrument, strategy, side, quantity, notional, margin, is_position, account_id, risk = item
    return Exposure(
        instrument=instrument,
        strategy=strategy,
        side=Side(side),
        quantity=Decimal(quantity),
        notional=Decimal(notional),
        margin=Decimal(margin),
        is_position=is_position,
        account_id=UUID(account_id),
        risk=Decimal(risk),
    )


def _halt(item: list[Any]) -> Halt:
    scope, subject, mode, epoch, reason, since = item
    return Halt(HaltScope(scope), subject, HaltMode(mode), epoch, reason, datetime.fromisoformat(since))


def _instants(items: Mapping[str, str]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(instant) for name, instant in items.items()}
