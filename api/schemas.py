"""What the API answers with: money as strings, instants in UTC with milliseconds, enums in lower case."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

Item = TypeVar("Item")


def _rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str)]
Amount = Annotated[str, Field(description="An exact decimal number as text", examples=["1234.5"])]


class Answer(BaseModel):
    """Base of every answer; what the ledger tells beyond it stays inside."""

    model_config = ConfigDict(extra="ignore")


class Page(Answer, Generic[Item]):
    """One page, the newest first; ask again with `cursor=next_cursor` until it is null."""

    items: list[Item]
    next_cursor: str | None


class Tenant(Answer):
    """A tenant."""

    id: str
    name: str
    state: str
    created_at: Instant


class Veto(Answer):
    """The first rule that said no, what it measured and what it allows."""

    level: str
    rule: str
    measured: Amount
    limit: Amount
    unit: str
    detail: str


class Decision(Answer):
    """The one outcome of a signal for an account."""

    id: str
    tenant: str | None
    account_id: str
    signal_id: str
    venue: str | None
    instrument: str | None
    timeframe: str | None
    strategy: str | None
    side: str | None
    confidence: Amount | None
    outcome: str
    veto: Veto | None
    reason: str | None
    order_id: str | None
    advice_id: str | None
    occurred_at: Instant


class Order(Answer):
    """An order and what has become of it."""

    id: str
    tenant: str | None
    account_id: str
    venue: str
    instrument: str
    role: str
    side: str
    type: str
    quantity: Amount
    price: Amount
    trigger_price: Amount | None
    leverage: int
    status: str
    filled_quantity: Amount
    average_price: Amount
    client_order_id: str
    venue_order_id: str | None
    signal_id: str | None
    position_id: str
    reason: str
    created_at: Instant
    submitted_at: Instant | None
    updated_at: Instant | None


class Position(Answer):
    """A holding from its first fill until flat; `net_profit` is realised, after fees and funding."""

    id: str
    tenant: str | None
    account_id: str
    venue: str
    instrument: str
    side: str
    strategy: str
    signal_id: str | None
    leverage: int
    quantity: Amount
    opened_quantity: Amount
    entry_price: Amount
    exit_price: Amount
    gross_profit: Amount
    fees: Amount
    funding: Amount
    net_profit: Amount
    is_open: bool
    opened_at: Instant | None
    closed_at: Instant | None
    close_reason: str | None


class ParameterSet(Answer):
    """A parameter set for a strategy: what differs from the defaults, and who said what about it."""

    tenant: str | None
    strategy: str
    number: int
    parameters: dict[str, bool | int | float]
    digest: str
    state: str
    proposed_by: str
    proposed_at: Instant
    reason: str
    decided_by: str | None
    decided_at: Instant | None
    decision: str


class Trade(Answer):
    """A fill."""

    tenant: str | None
    account_id: str
    venue: str
    trade_id: str
    order_id: str
    position_id: str
    instrument: str
    side: str
    quantity: Amount
    price: Amount
    fee: Amount
    fee_asset: str
    is_maker: bool
    occurred_at: Instant


class DecisionWithInputs(Decision):
    """A decision with all that the judges saw."""

    inputs: dict[str, Any]


class Trail(Answer):
    """The whole story of one decision."""

    decision: DecisionWithInputs
    signal: dict[str, Any] | None
    advice: dict[str, Any] | None
    orders: list[Order]
    fills: list[Trade]
    position: Position | None
    review: Review | None


class Review(Answer):
    """What was wrong with a closed trade, and by which evidence it was judged."""

    position_id: str
    instrument: str
    strategy: str
    side: str
    net_profit: Amount
    close_reason: str | None
    grade: str
    severity: int
    labels: list[str]
    evidence: dict[str, Any]
    opened_at: Instant | None
    closed_at: Instant
    reviewed_at: Instant


class Blunders(Answer):
    """Reviews counted by grade and label, and the last of them."""

    tenant: str
    reviewed: int
    grades: dict[str, int]
    labels: dict[str, int]
    reviews: list[Review]


class TradeFigures(Answer):
    """Figures of closed trades after fees and funding; null where a figure is not defined."""

    trades: int
    wins: int
    losses: int
    win_rate: Amount | None
    profit_factor: Amount | None
    expectancy: Amount | None
    net_profit: Amount
    fees: Amount
    funding: Amount
    payoff: Amount | None
    best: Amount | None
    worst: Amount | None
    worst_streak: int
    best_streak: int
    average_hold_s: float | None


class CurvePoint(Answer):
    """Equity at an instant, and what it would be had nothing been paid in or out since the first point."""

    at: Instant
    equity: Amount
    without_flows: Amount


class Performance(TradeFigures):
    """What a tenant earned; ratios and drawdowns are of the curve without flows."""

    tenant: str
    as_of: Instant
    since: Instant | None
    risk_free: Amount
    streak: int
    average_win: Amount | None
    average_loss: Amount | None
    total_return: Amount | None
    sharpe: Amount | None
    sortino: Amount | None
    max_drawdown: Amount | None
    current_drawdown: Amount | None
    days: int
    pnl: dict[str, Amount]
    equity: Amount | None
    open_positions: int
    flows: dict[str, Amount]
    by_symbol: dict[str, TradeFigures]
    by_strategy: dict[str, TradeFigures]
    by_exit: dict[str, TradeFigures]
    daily_profit: dict[str, Amount]
    curve: list[CurvePoint]


class Tally(Answer):
    """Figures of the last closed trades, and how many there were."""

    trades: int
    wins: int
    net_profit: Amount
    win_rate: Amount | None
    profit_factor: Amount | None
    sharpe: Amount | None


class Feedback(Answer):
    """What the last twenty closed trades say, over all and of each instrument."""

    tenant: str
    overall: Tally
    by_symbol: dict[str, Tally]
    best: str | None
    worst: str | None
    avoid: list[str]
    favour: list[str]


class Compared(Answer):
    """The last comparison of a wallet with the ledger; `first_difference` is empty while they agree."""

    asset: str
    wallet: Amount
    expected: Amount
    difference: Amount
    first_difference: str
    checked_at: Instant
    agreed_at: Instant
    differs_since: Instant | None
    alerted_at: Instant | None


class CashFlow(Answer):
    """Money that came or went beside trading."""

    kind: str
    income_id: str
    amount: Amount
    asset: str
    note: str
    occurred_at: Instant


class AccountBook(Answer):
    """One account's book in double entry."""

    account: str
    account_id: str
    venue: str
    entries: int
    balances: dict[str, dict[str, Amount]]
    is_balanced: bool
    compared: Compared | None
    flows: list[CashFlow]


class Statements(Answer):
    """The books of a tenant."""

    tenant: str
    accounts: list[AccountBook]


class Alive(Answer):
    """The process answers."""

    status: str = "alive"


class Readiness(Answer):
    """Whether requests can be served, and by whom not."""

    status: str
    checks: dict[str, str]
