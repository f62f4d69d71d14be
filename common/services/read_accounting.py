"""What a tenant is shown of its books: blunders, statements, and its trades one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.domain.advice import Advice
from common.domain.blunder import Reviewed, counts_of
from common.domain.codec import encode
from common.domain.decision import decision_id
from common.domain.errors import InvalidInput
from common.domain.money import ZERO, exactly
from common.domain.position import Position
from common.domain.postings import trial_balance
from common.domain.signal import Signal
from common.domain.tenant import Account
from common.services.account_book import book_of, name_of
from common.services.fleet import Fleet
from common.store import UnitOfWork

Row = dict[str, Any]

LIMIT_MAX = 500
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def read_blunders(fleet: Fleet, tenant_id: UUID, limit: int = 50) -> Row:
    """How many reviewed trades earned which grade and label, and the last `limit` of them one by one."""
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput("limit", limit, f"a number from 1 to {LIMIT_MAX}")
    with fleet.store.unit_of_work(tenant_id) as uow:
        name = name_of(uow, tenant_id)
        counts: Row = encode(counts_of(uow.reviews.of_tenant()))
        reviews = [review_row(item, position) for item, position in uow.reviews.list(limit)]
    return {"tenant": name, **counts, "reviews": reviews}


def review_row(reviewed: Reviewed, position: Position) -> Row:
    """A review with what it is about."""
    return {
        "position_id": str(position.id),
        "instrument": position.instrument,
        "strategy": position.strategy,
        "side": position.side.value,
        "net_profit": encode(position.net_profit),
        "close_reason": encode(position.close_reason),
        "grade": reviewed.review.grade.value,
        "severity": reviewed.review.severity,
        "labels": [label.value for label in reviewed.review.labels],
        "evidence": encode(reviewed.evidence),
        "opened_at": encode(position.opened_at),
        "closed_at": encode(reviewed.closed_at),
        "reviewed_at": encode(reviewed.reviewed_at),
    }


def read_statements(fleet: Fleet, tenant_id: UUID) -> Row:
    """Every account's book: the sum of each of its accounts in double entry, and its last comparison with the venue."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        name = name_of(uow, tenant_id)
        rows = [_statement(uow, account) for account in uow.accounts.list()]
    return {"tenant": name, "accounts": rows}


def _statement(uow: UnitOfWork, account: Account) -> Row:
    entries, kept = book_of(uow, account), uow.statements.get(account.id)
    compared = None if kept is None else encode(kept) | {"difference": encode(kept.difference)}
    return {
        "account": account.name,
        "account_id": str(account.id),
        "venue": account.venue,
        "entries": len(entries),
        "balances": encode(trial_balance(entries)),
        "is_balanced": not any(entry.imbalance for entry in entries),
        "compared": compared,
        "flows": [encode(flow) for flow in uow.cash_flows.of_account(account.id)],
    }


def trade_records(fleet: Fleet, tenant_id: UUID) -> list[Row]:
    """Every position the tenant ever had, oldest first: the sixteen columns of a trade record, then costs and causes."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        name = name_of(uow, tenant_id)
        rows = []
        for account in uow.accounts.list():
            positions = [*uow.positions.closed_since(account.id, _BEGINNING), *uow.positions.open(account.id)]
            rows += [_trade(uow, name, account, position) for position in positions]
    return sorted(rows, key=lambda row: (row["open_time"], row["id"]))


def _trade(uow: UnitOfWork, tenant: str, account: Account, position: Position) -> Row:
    signal = uow.signals.get(position.signal_id) if position.signal_id else None
    decision = None if signal is None else uow.decisions.get(decision_id(account.tenant_id, account.id, signal.id))
    advice = uow.advice.get(decision.advice_id) if decision is not None and decision.advice_id else None
    reviewed = uow.reviews.get(position.id)
    return trade_record(tenant, position) | {
        "account": account.name,
        "venue": position.venue,
        "strategy": position.strategy,
        "gross_profit": position.gross_profit,
        "fees": position.fees,
        "funding": position.funding,
        "won": position.net_profit > ZERO if position.closed_at is not None else None,
        "grade": None if reviewed is None else reviewed.review.grade.value,
        "severity": None if reviewed is None else reviewed.review.severity,
        "confidence": None if signal is None else signal.confidence,
        "regime": regime_of(signal),
        "agent_votes": votes_of(advice),
        "signals": None if signal is None else encode({"reasons": signal.reasons, "features": signal.features}),
        "decision_id": None if decision is None else str(decision.id),
        "signal_id": None if signal is None else str(signal.id),
    }


@exactly
def trade_record(trader: str, position: Position) -> Row:
    """The sixteen columns of a trade record (A-29); money exact, times in UTC, `duration` in seconds.

    `pnl` is after fees and funding, `pnl_percent` of the margin that was bound: leverage multiplies the return on margin
    and never the profit. Of an open position both are what was realised so far.
    """
    margin = position.opened_quantity * position.entry_price / position.leverage
    base, _, rest = position.instrument.partition("/")
    is_closed = position.closed_at is not None
    held = position.closed_at - position.opened_at if position.closed_at and position.opened_at else None
    return {
        "id": str(position.id),
        "trader": trader,
        "symbol": position.instrument,
        "side": position.side.value.upper(),
        "symbol_side": f"{base}{rest.partition(':')[0]}_{position.side.value.upper()}",
        "entry_price": position.entry_price,
        "quantity": position.opened_quantity,
        "leverage": position.leverage,
        "open_time": position.opened_at,
        "close_time": position.closed_at,
        "exit_price": position.exit_price if position.exit_price > ZERO else None,
        "pnl": position.net_profit,
        "pnl_percent": round(position.net_profit / margin * 100, 8) if margin > ZERO else None,
        "duration": None if held is None else held.total_seconds(),
        "status": "closed" if is_closed else "open",
        "close_reason": None if position.close_reason is None else position.close_reason.value,
    }


def regime_of(signal: Signal | None) -> Any:
    """The market's regime as the strategy saw it; None where it did not look."""
    if signal is None:
        return None
    return next((value for name, value in sorted(signal.features.items()) if name.startswith("market_regime")), None)


def votes_of(advice: Advice | None) -> Row | None:
    """What the model said; None where it was not asked."""
    if advice is None:
        return None
    return {
        "verdict": advice.verdict.value,
        "reason": encode(advice.reason),
        "p_target_first": encode(advice.p_target_first),
        "model": advice.model,
    }
