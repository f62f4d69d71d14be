"""The tables, as metadata: what the migrations build and what the repositories speak to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from common.domain.snapshot import FIELDS as SNAPSHOT_FIELDS

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(referred_table_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

NULLABLE_TENANT = frozenset({"jobs", "halts", "tokens"})
"""Tables whose rows may belong to nobody: market-wide jobs, the platform's halts, the operator's tokens."""

REGISTRY = "tenants"
"""The one table whose own id is the tenant's."""


def _uuid(name: str, **options: Any) -> Column[Any]:
    return Column(name, Uuid(), nullable=options.pop("nullable", False), **options)


def _text(name: str, **options: Any) -> Column[Any]:
    return Column(name, Text(), nullable=options.pop("nullable", False), **options)


def _time(name: str, **options: Any) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=options.pop("nullable", False), **options)


def _money(name: str, **options: Any) -> Column[Any]:
    return Column(name, Numeric(), nullable=options.pop("nullable", False), **options)


def _count(name: str, **options: Any) -> Column[Any]:
    return Column(name, Integer(), nullable=options.pop("nullable", False), **options)


def _number(name: str, **options: Any) -> Column[Any]:
    return Column(name, BigInteger(), nullable=options.pop("nullable", False), **options)


def _flag(name: str, **options: Any) -> Column[Any]:
    return Column(name, Boolean(), nullable=False, **options)


def _document(name: str) -> Column[Any]:
    # json, not jsonb: the text is kept as it was written, so that a replay reads the very same inputs.
    return Column(name, JSON(), nullable=False)


def _exits() -> Column[Any]:
    # An exit plan is read and written whole; its parts are nothing to ask the database about.
    return Column("exits", JSON(), nullable=False)


def _tenant_table(name: str, key: tuple[str, ...], *items: Any) -> Table:
    return Table(name, metadata, _uuid("tenant_id"), *items, PrimaryKeyConstraint("tenant_id", *key))


def _of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "account_id"], ["accounts.tenant_id", "accounts.id"])


def _above_zero(column: str) -> CheckConstraint:
    # NaN sorts above every number, infinity included.
    return CheckConstraint(f"{column} > 0 AND {column} < 'Infinity'::numeric", name=f"{column}_above_zero")


# Market-wide -----------------------------------------------------------------------------------------------------

instruments = Table(
    "instruments",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("base"),
    _text("quote"),
    _text("settle"),
    _money("tick_size"),
    _money("step_size"),
    _money("min_quantity"),
    _money("max_quantity"),
    _money("min_notional"),
    _count("max_leverage"),
    _money("maker_fee"),
    _money("taker_fee"),
    _money("maintenance_margin"),
    _text("status"),
    PrimaryKeyConstraint("venue", "symbol"),
)

PACKED = (
    "timestamptz_send(opened_at) || float8send(open::double precision) || float8send(high::double precision)"
    " || float8send(low::double precision) || float8send(close::double precision)"
    " || float8send(volume::double precision)"
)

candles = Table(
    "candles",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("timeframe"),
    _time("opened_at"),
    _money("open"),
    _money("high"),
    _money("low"),
    _money("close"),
    _money("volume"),
    # The candle as indicators read it: microseconds since 2000 and five doubles, big-endian.
    Column("packed", LargeBinary(), Computed(PACKED, persisted=True)),
    PrimaryKeyConstraint("venue", "symbol", "timeframe", "opened_at"),
    postgresql_partition_by="RANGE (opened_at)",
)

candle_revisions = Table(
    "candle_revisions",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("timeframe"),
    _time("opened_at"),
    _time("revised_at"),
    _money("open"),
    _money("high"),
    _money("low"),
    _money("close"),
    _money("volume"),
    PrimaryKeyConstraint("venue", "symbol", "timeframe", "opened_at", "revised_at"),
)

# Kept by triggers. `revision` changes with every write to what was there; a candle that goes on a series changes nothing.
candle_series = Table(
    "candle_series",
    metadata,
    _text("venue"),
    _text("symbol"),
    _text("timeframe"),
    _time("first_opened_at", nullable=True),
    _time("last_opened_at", nullable=True),
    Column("revision", BigInteger(), nullable=False),
    PrimaryKeyConstraint("venue", "symbol", "timeframe"),
)

# A row without `observed_at` says that a scan looked and nothing was there: what comes later must not be believed.
market_snapshots = Table(
    "market_snapshots",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("closed_at"),
    _time("observed_at", nullable=True),
    *(_money(name, nullable=True) for name in SNAPSHOT_FIELDS),
    PrimaryKeyConstraint("venue", "symbol", "closed_at"),
    CheckConstraint("observed_at <= closed_at", name="observed_in_time"),
    postgresql_partition_by="RANGE (closed_at)",
)

signals = Table(
    "signals",
    metadata,
    _uuid("id"),
    _text("venue"),
    _text("instrument"),
    _text("timeframe"),
    _text("strategy"),
    _text("strategy_version"),
    _text("side"),
    _money("confidence"),
    _money("price"),
    _exits(),
    Column("reasons", ARRAY(Text()), nullable=False),
    _document("features"),
    _time("closed_at"),
    _time("expires_at"),
    PrimaryKeyConstraint("id"),
    Index(None, "closed_at"),
    Index(None, "venue", "instrument", "closed_at"),
)

advice = Table(
    "advice",
    metadata,
    _uuid("id"),
    _uuid("signal_id"),
    _text("profile"),
    _text("verdict"),
    _text("reason", nullable=True),
    _text("cause", nullable=True),
    _money("p_target_first", nullable=True),
    _text("rationale"),
    _text("model"),
    _text("prompt"),
    _text("prompt_version"),
    _text("raw_answer"),
    _count("latency_ms"),
    _count("tokens_in"),
    _count("tokens_out"),
    _money("cost_usd"),
    _time("occurred_at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("signal_id", "profile"),
    Index(None, "occurred_at"),
)

halt_epoch = Table(
    "halt_epoch",
    metadata,
    _flag("is_only"),
    _number("epoch"),
    PrimaryKeyConstraint("is_only"),
    CheckConstraint("is_only", name="is_only"),
)

nonces = Table(
    "nonces", metadata, _text("nonce"), _time("used_at"), PrimaryKeyConstraint("nonce"), Index(None, "used_at")
)

leavings = Table(
    "leavings",
    metadata,
    _text("venue"),
    _text("instrument"),
    _text("strategy"),
    _text("digest"),
    _text("side"),
    _time("closed_at"),
    PrimaryKeyConstraint("venue", "instrument", "strategy", "digest", "side", "closed_at"),
)

capability_records = Table(
    "capability_records",
    metadata,
    _text("venue"),
    _text("mode"),
    _text("personality"),
    _text("build"),
    _time("probed_at"),
    _count("passed"),
    _count("failed"),
    _flag("is_passing"),
    _document("findings"),
    _document("cases"),
    PrimaryKeyConstraint("venue", "mode"),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    _text("worker"),
    _text("stage"),
    _text("build"),
    _time("seen_at"),
    PrimaryKeyConstraint("worker", "stage"),
)

platform_audit = Table(
    "platform_audit",
    metadata,
    _number("seq", autoincrement=False),
    _text("kind"),
    _text("subject"),
    _document("payload"),
    _time("occurred_at"),
    _text("prev_hash"),
    _text("hash"),
    PrimaryKeyConstraint("seq"),
)

platform_audit_heads = Table(
    "platform_audit_heads",
    metadata,
    _flag("is_only"),
    _number("seq"),
    _text("hash"),
    PrimaryKeyConstraint("is_only"),
    CheckConstraint("is_only", name="is_only"),
)

candidates = Table(
    "candidates",
    metadata,
    _text("venue"),
    _text("symbol"),
    _count("rank", nullable=True),
    _text("cause", nullable=True),
    _money("measured", nullable=True),
    _money("limit", nullable=True),
    _text("unit", nullable=True),
    _money("score", nullable=True),
    _money("open_interest", nullable=True),
    _money("turnover", nullable=True),
    _money("market_cap", nullable=True),
    _time("refreshed_at"),
    PrimaryKeyConstraint("venue", "symbol"),
)

coins = Table(
    "coins",
    metadata,
    _text("source"),
    _text("coin"),
    _text("symbol"),
    _money("price"),
    _money("market_cap"),
    _money("volume"),
    _time("occurred_at"),
    PrimaryKeyConstraint("source", "coin"),
)

moods = Table(
    "moods", metadata, _time("published_at"), _count("value"), _text("label"), PrimaryKeyConstraint("published_at")
)

price_findings = Table(
    "price_findings",
    metadata,
    _text("venue"),
    _text("symbol"),
    _time("found_at"),
    _text("source"),
    _money("price"),
    _money("reference"),
    _money("deviation_bps"),
    PrimaryKeyConstraint("venue", "symbol", "found_at"),
)

# Rows that may belong to nobody ----------------------------------------------------------------------------------

jobs = Table(
    "jobs",
    metadata,
    _uuid("id"),
    _uuid("tenant_id", nullable=True),
    _text("stage"),
    _text("key"),
    Column("payload", JSONB(), nullable=False),
    _uuid("correlation_id"),
    _uuid("causation_id", nullable=True),
    _time("created_at"),
    _time("available_at"),
    _time("expires_at", nullable=True),
    _count("attempts", server_default=text("0")),
    _text("state", server_default="pending"),
    _text("outcome", server_default=""),
    _time("finished_at", nullable=True),
    _time("rung_at", nullable=True),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("tenant_id", "stage", "key", postgresql_nulls_not_distinct=True),
    Index("jobs_due_idx", "available_at", postgresql_where=text("state = 'pending'")),
    Index(
        "jobs_expiring_idx",
        "expires_at",
        postgresql_where=text("state = 'pending' AND expires_at IS NOT NULL"),
    ),
    Index(None, "correlation_id"),
    Index("jobs_finished_at_idx", "finished_at", postgresql_where=text("state <> 'pending'")),
)

halts = Table(
    "halts",
    metadata,
    _number("epoch", autoincrement=False),
    _uuid("tenant_id", nullable=True),
    _text("scope"),
    _text("subject"),
    _text("mode"),
    _text("reason"),
    _text("imposed_by"),
    _time("since"),
    _time("lifted_at", nullable=True),
    _text("lifted_by", nullable=True),
    PrimaryKeyConstraint("epoch"),
    Index(
        "halts_in_force_idx",
        "tenant_id",
        "scope",
        "subject",
        unique=True,
        postgresql_where=text("lifted_at IS NULL"),
        postgresql_nulls_not_distinct=True,
    ),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_hash", LargeBinary(), nullable=False),
    _uuid("tenant_id", nullable=True),
    _text("name"),
    Column("scopes", ARRAY(Text()), nullable=False),
    _time("created_at"),
    _time("revoked_at", nullable=True),
    PrimaryKeyConstraint("token_hash"),
    UniqueConstraint("tenant_id", "name", postgresql_nulls_not_distinct=True),
)

# Tenants ---------------------------------------------------------------------------------------------------------

tenants = Table(
    REGISTRY,
    metadata,
    _uuid("id"),
    _text("name"),
    _text("state"),
    _flag("live_enabled", server_default=false()),
    _time("created_at"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("name"),
)

accounts = _tenant_table(
    "accounts",
    ("id",),
    _uuid("id"),
    _text("name"),
    _text("venue"),
    _text("environment"),
    _text("profile"),
    _document("limits"),
    _flag("live_enabled", server_default=false()),
    _flag("is_reconciled", server_default=false()),
    UniqueConstraint("tenant_id", "name"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

account_guards = _tenant_table("account_guards", ("account_id",), _uuid("account_id"), _of_account())

account_balances = _tenant_table(
    "account_balances",
    ("account_id",),
    _uuid("account_id"),
    _money("wallet"),
    _money("equity"),
    _money("available"),
    Column("marks", JSONB(), nullable=False, server_default=text("'{}'")),
    _time("updated_at"),
    _of_account(),
)

credentials = _tenant_table(
    "credentials",
    ("account_id",),
    _uuid("account_id"),
    _text("key_id"),
    Column("sealed", LargeBinary(), nullable=False),
    _text("hint"),
    _of_account(),
)

subscriptions = _tenant_table(
    "subscriptions",
    ("id",),
    _uuid("id"),
    _uuid("account_id"),
    _text("venue"),
    _text("strategy"),
    _text("timeframe"),
    Column("instruments", ARRAY(Text()), nullable=False),
    _text("advisor", nullable=True),
    _text("on_advisor_unavailable"),
    _time("active_from"),
    _time("active_to", nullable=True),
    _text("pool", nullable=True),
    _of_account(),
    UniqueConstraint("tenant_id", "account_id", "strategy", "timeframe"),
    Index("subscriptions_wanted_idx", "venue", "strategy", "timeframe"),
)

# Risk ------------------------------------------------------------------------------------------------------------

tenant_risk = _tenant_table("tenant_risk", (), ForeignKeyConstraint(["tenant_id"], ["tenants.id"]))

account_risk = _tenant_table(
    "account_risk",
    ("account_id",),
    _uuid("account_id"),
    _money("peak_equity", server_default=text("0")),
    _time("cooling_until", nullable=True),
    _text("cooling_reason", server_default=""),
    _of_account(),
)

parameter_versions = _tenant_table(
    "parameter_versions",
    ("strategy", "number"),
    _text("strategy"),
    _count("number", autoincrement=False),
    _document("parameters"),
    _text("digest"),
    _text("state"),
    _text("proposed_by"),
    _time("proposed_at"),
    _text("reason"),
    _count("moves"),
    _text("decided_by", nullable=True),
    _time("decided_at", nullable=True),
    _text("decision"),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
    Index(
        "parameter_versions_active_idx", "tenant_id", "strategy", unique=True, postgresql_where=text("state = 'active'")
    ),
)

parameter_activations = _tenant_table(
    "parameter_activations",
    ("strategy", "sequence"),
    _text("strategy"),
    _count("sequence", autoincrement=False),
    _count("number"),
    _text("digest"),
    _time("active_from"),
    _time("active_to", nullable=True),
    ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
)

symbol_cooldowns = _tenant_table(
    "symbol_cooldowns",
    ("account_id", "symbol"),
    _uuid("account_id"),
    _text("symbol"),
    _time("until"),
    _of_account(),
)

reservations = _tenant_table(
    "reservations",
    ("order_id",),
    _uuid("order_id"),
    _uuid("account_id"),
    _money("notional"),
    _money("margin"),
    _money("risk"),
    _time("lapses_at", nullable=True),
    _of_account(),
    ForeignKeyConstraint(
        ["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"], deferrable=True, initially="DEFERRED"
    ),
)

decisions = _tenant_table(
    "decisions",
    ("id",),
    _uuid("id"),
    _uuid("account_id"),
    _uuid("signal_id"),
    _text("outcome"),
    _count("veto_level", nullable=True),
    _text("veto_rule", nullable=True),
    _money("veto_measured", nullable=True),
    _money("veto_limit", nullable=True),
    _text("veto_unit", nullable=True),
    _text("veto_detail", nullable=True),
    _uuid("order_id", nullable=True),
    _uuid("advice_id", nullable=True),
    _document("inputs"),
    _time("occurred_at"),
    UniqueConstraint("tenant_id", "account_id", "signal_id"),
    _of_account(),
    ForeignKeyConstraint(
        ["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"], deferrable=True, initially="DEFERRED"
    ),
    Index(None, "tenant_id", "occurred_at"),
    Index(None, "occurred_at"),
    Index(None, "signal_id"),
)

# The ledger ------------------------------------------------------------------------------------------------------

LIVE_ORDER = "status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled')"

orders = _tenant_table(
    "orders",
    ("id",),
    _uuid("id"),
    _uuid("account_id"),
    _text("venue"),
    _text("instrument"),
    _text("role"),
    _text("side"),
    _text("type"),
    _money("quantity"),
    _money("price"),
    _money("trigger_price", nullable=True),
    _text("client_order_id"),
    _uuid("signal_id", nullable=True),
    _uuid("position_id"),
    _count("leverage"),
    _number("halt_epoch"),
    _time("expires_at"),
    _text("status"),
    _count("version"),
    _time("created_at"),
    _text("venue_order_id", nullable=True),
    _time("submitted_at", nullable=True),
    _time("valid_until", nullable=True),
    _time("cancel_requested_at", nullable=True),
    _money("filled_quantity"),
    _money("average_price"),
    _text("reason"),
    _time("updated_at", nullable=True),
    _uuid("replaces", nullable=True),
    _time("acknowledged_at", nullable=True),
    UniqueConstraint("tenant_id", "client_order_id"),
    _of_account(),
    _above_zero("quantity"),
    CheckConstraint("filled_quantity >= 0 AND filled_quantity < 'Infinity'::numeric", name="filled_quantity_finite"),
    Index(None, "tenant_id", "position_id"),
    Index(None, "tenant_id", "account_id", "venue_order_id"),
    Index(None, "tenant_id", "account_id", "created_at"),
    Index(None, "created_at"),
    Index(None, "signal_id"),
    Index("orders_live_idx", "tenant_id", "account_id", "instrument", postgresql_where=text(LIVE_ORDER)),
)

fills = _tenant_table(
    "fills",
    ("venue", "account_id", "instrument", "trade_id"),
    _uuid("account_id"),
    _text("venue"),
    _text("trade_id"),
    _uuid("order_id"),
    _uuid("position_id"),
    _text("instrument"),
    _text("side"),
    _money("quantity"),
    _money("price"),
    _money("fee"),
    _text("fee_asset"),
    _flag("is_maker"),
    _time("occurred_at"),
    _of_account(),
    ForeignKeyConstraint(["tenant_id", "order_id"], ["orders.tenant_id", "orders.id"]),
    _above_zero("quantity"),
    _above_zero("price"),
    Index(None, "tenant_id", "order_id"),
    Index(None, "tenant_id", "position_id"),
    Index(None, "tenant_id", "account_id", "instrument", "occurred_at"),
    Index(None, "occurred_at"),
)

fundings = _tenant_table(
    "fundings",
    ("venue", "account_id", "instrument", "income_id"),
    _uuid("account_id"),
    _text("venue"),
    _text("income_id"),
    _text("instrument"),
    _uuid("position_id", nullable=True),
    _money("amount"),
    _text("asset"),
    _time("occurred_at"),
    _of_account(),
    Index(None, "tenant_id", "position_id"),
    Index(None, "tenant_id", "account_id", "occurred_at"),
)

positions = _tenant_table(
    "positions",
    ("id",),
    _uuid("id"),
    _uuid("account_id"),
    _text("venue"),
    _text("instrument"),
    _text("side"),
    _text("strategy"),
    _uuid("signal_id", nullable=True),
    _count("leverage"),
    _exits(),
    _money("quantity"),
    _money("opened_quantity"),
    _money("entry_price"),
    _money("exit_price"),
    _money("gross_profit"),
    _money("fees"),
    _money("funding"),
    _money("best_price"),
    _time("opened_at", nullable=True),
    _time("closed_at", nullable=True),
    _text("close_reason", nullable=True),
    _count("version"),
    _of_account(),
    CheckConstraint("quantity >= 0 AND quantity < 'Infinity'::numeric", name="quantity_finite"),
    Index("positions_open_idx", "tenant_id", "account_id", postgresql_where=text("quantity > 0")),
    Index(
        "positions_closed_idx",
        "tenant_id",
        "account_id",
        "closed_at",
        postgresql_where=text("closed_at IS NOT NULL"),
    ),
    Index(None, "tenant_id", "closed_at", postgresql_where=text("closed_at IS NOT NULL")),
    Index(None, "tenant_id", "account_id", "instrument", "opened_at"),
    Index(None, "opened_at"),
    Index(None, "signal_id"),
)

cash_flows = _tenant_table(
    "cash_flows",
    ("account_id", "kind", "income_id"),
    _uuid("account_id"),
    _text("venue"),
    _text("kind"),
    _text("income_id"),
    _money("amount"),
    _text("asset"),
    _text("note"),
    _time("occurred_at"),
    _of_account(),
)

statements = _tenant_table(
    "statements",
    ("account_id",),
    _uuid("account_id"),
    _text("asset"),
    _money("wallet"),
    _money("expected"),
    _text("first_difference"),
    _time("checked_at"),
    _time("agreed_at"),
    _time("differs_since", nullable=True),
    _time("alerted_at", nullable=True),
    _of_account(),
)

reviews = _tenant_table(
    "reviews",
    ("position_id",),
    _uuid("position_id"),
    _uuid("account_id"),
    Column("labels", ARRAY(Text()), nullable=False),
    _count("severity"),
    _text("grade"),
    _document("evidence"),
    _time("closed_at"),
    _time("reviewed_at"),
    _of_account(),
    ForeignKeyConstraint(["tenant_id", "position_id"], ["positions.tenant_id", "positions.id"]),
    Index(None, "tenant_id", "closed_at"),
    Index(None, "closed_at"),
)

quarantine = _tenant_table(
    "quarantine",
    ("account_id", "venue_order_id"),
    _uuid("account_id"),
    _text("instrument"),
    _text("venue_order_id"),
    _text("client_order_id", nullable=True),
    _text("detail"),
    _time("since"),
    _time("cleared_at", nullable=True),
    _text("cleared_by", nullable=True),
    _of_account(),
)

flattenings = _tenant_table(
    "flattenings",
    ("account_id", "epoch"),
    _uuid("account_id"),
    _number("epoch", autoincrement=False),
    _time("halted_at"),
    _time("seen_at"),
    Column("at_venue", ARRAY(Text()), nullable=False),
    Column("in_ledger", ARRAY(Text()), nullable=False),
    _time("flat_at", nullable=True),
    _of_account(),
)

equity = _tenant_table(
    "equity",
    ("account_id", "occurred_at"),
    _uuid("account_id"),
    _time("occurred_at"),
    _money("equity"),
    _money("wallet"),
    _money("unrealised"),
    _money("day_profit"),
    _of_account(),
    Index(None, "occurred_at"),
)

audit = _tenant_table(
    "audit",
    ("seq",),
    _number("seq", autoincrement=False),
    _text("kind"),
    _text("subject"),
    _document("payload"),
    _time("occurred_at"),
    _text("prev_hash"),
    _text("hash"),
    Index(None, "tenant_id", "subject"),
)

audit_heads = _tenant_table("audit_heads", (), _number("seq"), _text("hash"))

# The paper venue -------------------------------------------------------------------------------------------------

paper_accounts = _tenant_table(
    "paper_accounts",
    ("account_id",),
    _uuid("account_id"),
    _text("asset"),
    _money("wallet"),
    _number("next_number"),
    _of_account(),
)

paper_orders = _tenant_table(
    "paper_orders",
    ("account_id", "number"),
    _uuid("account_id"),
    _number("number", autoincrement=False),
    _text("client_order_id"),
    _text("instrument"),
    _text("side"),
    _text("type"),
    _money("quantity"),
    _money("price"),
    _money("trigger_price", nullable=True),
    _flag("reduce_only"),
    _count("leverage"),
    _text("status"),
    _time("created_at"),
    _money("filled_quantity"),
    _money("average_price"),
    _time("updated_at", nullable=True),
    _of_account(),
    Index(None, "tenant_id", "account_id", "client_order_id"),
    Index("paper_orders_live_idx", "tenant_id", "account_id", postgresql_where=text(LIVE_ORDER)),
)

paper_fills = _tenant_table(
    "paper_fills",
    ("account_id", "number"),
    _uuid("account_id"),
    _number("number", autoincrement=False),
    _number("order_number"),
    _text("client_order_id"),
    _text("instrument"),
    _text("side"),
    _money("quantity"),
    _money("price"),
    _money("fee"),
    _flag("is_maker"),
    _time("occurred_at"),
    _of_account(),
    Index(None, "tenant_id", "account_id", "instrument", "occurred_at"),
)

paper_fundings = _tenant_table(
    "paper_fundings",
    ("account_id", "number"),
    _uuid("account_id"),
    _number("number", autoincrement=False),
    _text("instrument"),
    _money("amount"),
    _time("occurred_at"),
    _of_account(),
    Index(None, "tenant_id", "account_id", "occurred_at"),
)

paper_positions = _tenant_table(
    "paper_positions",
    ("account_id", "instrument"),
    _uuid("account_id"),
    _text("instrument"),
    _money("quantity"),
    _money("entry_price"),
    _count("leverage"),
    _time("funded_at", nullable=True),
    _of_account(),
)
