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


class Alive(Answer):
    """The process answers."""

    status: str = "alive"


class Readiness(Answer):
    """Whether requests can be served, and by whom not."""

    status: str
    checks: dict[str, str]
