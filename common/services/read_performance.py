"""What a tenant earned and how: the figures of the backtest, on the live ledger, net of money that came or went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.codec import encode
from common.domain.errors import InvalidInput
from common.domain.money import ZERO
from common.domain.performance import (
    RISK_FREE,
    EquityPoint,
    Flow,
    Report,
    last_days,
    profit_since,
    report,
    together,
    without_flows,
)
from common.domain.position import Position
from common.domain.postings import CashFlow, FlowKind
from common.domain.tenant import Account
from common.services.account_book import name_of
from common.services.figures import stats
from common.services.fleet import Fleet
from common.store import UnitOfWork

Row = dict[str, Any]

DAYS_MAX = 3650
CURVE_POINTS = 240
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)


def read_performance(fleet: Fleet, tenant_id: UUID, *, days: int | None = None, risk_free: Decimal = RISK_FREE) -> Row:
    """Performance of a tenant over all its accounts in the last `days` (everything without), as plain values.

    Days count back from `as_of`, the last moment at which a venue told of an account.

    Sharpe, Sortino, return and drawdowns are of the curve without flows; profits are those of closed positions, after
    fees and funding. Accounts are added up as they are: their settle assets are taken to be worth the same. Raises
    InvalidInput for a number of days or a rate that cannot be meant, NotFound for no such tenant.
    """
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise InvalidInput("days", days, f"a number from 1 to {DAYS_MAX}")
    if not risk_free.is_finite() or not -1 < risk_free < 1:
        raise InvalidInput("risk_free", risk_free, "a yearly rate as a fraction, such as 0.045")
    with fleet.store.unit_of_work(tenant_id) as uow:
        name, accounts = name_of(uow, tenant_id), uow.accounts.list()
        now = _as_of(fleet, uow, accounts)
        since = _BEGINNING if days is None else now - timedelta(days=days)
        closed = [item for account in accounts for item in uow.positions.closed_since(account.id, since)]
        flows = [flow for account in accounts for flow in uow.cash_flows.of_account(account.id)]
        curves = [_curve(uow, account, since) for account in accounts]
        opened = [item for account in accounts for item in uow.positions.open(account.id)]
    points, joined = together(curves)
    moved = [Flow(flow.occurred_at, flow.amount) for flow in flows if flow.kind is not FlowKind.OPENING]
    grown = without_flows(points, [*moved, *joined])
    found = report(closed, grown, risk_free=risk_free)
    return {
        "tenant": name,
        "as_of": encode(now),
        "since": None if days is None else encode(since),
        "risk_free": encode(risk_free),
        **_trades(found),
        **_curve_figures(found),
        "pnl": _profits(closed, now),
        "equity": encode(points[-1].equity) if points else None,
        "open_positions": len(opened),
        "flows": _flows(flows, since),
        **_groups(found, now),
        "curve": _thinned(points, grown),
    }


def _as_of(fleet: Fleet, uow: UnitOfWork, accounts: Sequence[Account]) -> datetime:
    """The last moment the ledger knows of: a fleet at rest has no today."""
    balances = [balance for account in accounts if (balance := uow.accounts.balance(account.id)) is not None]
    told = max((balance.at for balance in balances), default=None)
    return fleet.clock.now() if told is None else min(told, fleet.clock.now())


def _curve(uow: UnitOfWork, account: Account, since: datetime) -> list[EquityPoint]:
    points = [EquityPoint(item.occurred_at, item.equity) for item in uow.equity.since(account.id, since)]
    balance = uow.accounts.balance(account.id)
    if balance is not None and balance.at >= since and (not points or balance.at > points[-1].occurred_at):
        points.append(EquityPoint(balance.at, balance.equity))
    return points


def _trades(found: Report) -> Row:
    trades = found.trades
    more = {"streak": trades.streak, "average_win": trades.average_win, "average_loss": trades.average_loss}
    figures: Row = encode(stats(trades) | more)
    return figures


def _curve_figures(found: Report) -> Row:
    curve = found.curve
    return {
        "total_return": encode(curve.total_return),
        "sharpe": encode(curve.sharpe),
        "sortino": encode(curve.sortino),
        "max_drawdown": encode(curve.max_drawdown),
        "current_drawdown": encode(curve.current_drawdown),
        "days": curve.days,
    }


def _profits(closed: Sequence[Position], now: datetime) -> Row:
    """Net profit of today (UTC), of the last seven days with today as the seventh, and of all that was read."""
    midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
    return {
        "day": encode(profit_since(closed, midnight)),
        "week": encode(profit_since(closed, midnight - 6 * _DAY)),
        "total": encode(profit_since(closed, _BEGINNING)),
    }


def _flows(flows: Sequence[CashFlow], since: datetime) -> Row:
    moved = [item for item in flows if item.kind is not FlowKind.OPENING and item.occurred_at >= since]
    transfers = [item.amount for item in moved if item.kind is FlowKind.TRANSFER]
    return {
        "opening": encode(sum((item.amount for item in flows if item.kind is FlowKind.OPENING), ZERO)),
        "deposits": encode(sum((amount for amount in transfers if amount > ZERO), ZERO)),
        "withdrawals": encode(-sum((amount for amount in transfers if amount < ZERO), ZERO)),
        "other": encode(sum((item.amount for item in moved if item.kind is FlowKind.OTHER), ZERO)),
    }


def _groups(found: Report, now: datetime) -> Row:
    groups = {"by_symbol": found.by_symbol, "by_strategy": found.by_strategy, "by_exit": found.by_exit}
    rows: Row = {name: {key: encode(stats(item)) for key, item in group.items()} for name, group in groups.items()}
    days = last_days(found.daily_profit, now.astimezone(UTC).date())
    return rows | {"daily_profit": {day.isoformat(): encode(profit) for day, profit in days.items()}}


def _thinned(points: Sequence[EquityPoint], grown: Sequence[EquityPoint]) -> list[Row]:
    """At most so many points of the curve as a picture shows, the last among them; `without_flows` beside equity."""
    step = max(1, -(-len(points) // CURVE_POINTS))
    places = [*range(0, len(points), step)]
    if points and places[-1] != len(points) - 1:
        places.append(len(points) - 1)
    return [
        {
            "at": encode(points[place].occurred_at),
            "equity": encode(points[place].equity),
            "without_flows": encode(round(grown[place].equity, 8)),
        }
        for place in places
    ]
