-- The first tables. Generated once from common/store/tables.py; later changes are later revisions.

CREATE TABLE advice (
    id UUID NOT NULL,
    signal_id UUID NOT NULL,
    profile TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT,
    cause TEXT,
    p_target_first NUMERIC,
    rationale TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    raw_answer TEXT NOT NULL,
    latency_ms INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cost_usd NUMERIC NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT advice_pkey PRIMARY KEY (id),
    CONSTRAINT advice_signal_id_profile_key UNIQUE (signal_id, profile)
);
CREATE INDEX advice_occurred_at_idx ON advice (occurred_at);

CREATE TABLE audit (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    payload JSON NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX audit_tenant_id_subject_idx ON audit (tenant_id, subject);

CREATE TABLE audit_heads (
    tenant_id UUID NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT audit_heads_pkey PRIMARY KEY (tenant_id)
);

CREATE TABLE candles (
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    open NUMERIC NOT NULL,
    high NUMERIC NOT NULL,
    low NUMERIC NOT NULL,
    close NUMERIC NOT NULL,
    volume NUMERIC NOT NULL,
    CONSTRAINT candles_pkey PRIMARY KEY (venue, symbol, timeframe, opened_at)
)
 PARTITION BY RANGE (opened_at);

CREATE TABLE halt_epoch (
    is_only BOOLEAN NOT NULL,
    epoch BIGINT NOT NULL,
    CONSTRAINT halt_epoch_pkey PRIMARY KEY (is_only),
    CONSTRAINT halt_epoch_is_only_check CHECK (is_only)
);

CREATE TABLE halts (
    epoch BIGINT NOT NULL,
    tenant_id UUID,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    mode TEXT NOT NULL,
    reason TEXT NOT NULL,
    imposed_by TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    lifted_at TIMESTAMP WITH TIME ZONE,
    lifted_by TEXT,
    CONSTRAINT halts_pkey PRIMARY KEY (epoch)
);
CREATE UNIQUE INDEX halts_in_force_idx ON halts (tenant_id, scope, subject) NULLS NOT DISTINCT WHERE lifted_at IS NULL;

CREATE TABLE heartbeats (
    worker TEXT NOT NULL,
    stage TEXT NOT NULL,
    build TEXT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT heartbeats_pkey PRIMARY KEY (worker, stage)
);

CREATE TABLE instruments (
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    base TEXT NOT NULL,
    quote TEXT NOT NULL,
    settle TEXT NOT NULL,
    tick_size NUMERIC NOT NULL,
    step_size NUMERIC NOT NULL,
    min_quantity NUMERIC NOT NULL,
    max_quantity NUMERIC NOT NULL,
    min_notional NUMERIC NOT NULL,
    max_leverage INTEGER NOT NULL,
    maker_fee NUMERIC NOT NULL,
    taker_fee NUMERIC NOT NULL,
    maintenance_margin NUMERIC NOT NULL,
    status TEXT NOT NULL,
    CONSTRAINT instruments_pkey PRIMARY KEY (venue, symbol)
);

CREATE TABLE jobs (
    id UUID NOT NULL,
    tenant_id UUID,
    stage TEXT NOT NULL,
    key TEXT NOT NULL,
    payload JSONB NOT NULL,
    correlation_id UUID NOT NULL,
    causation_id UUID,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    available_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    outcome TEXT DEFAULT '' NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    rung_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_tenant_id_stage_key_key UNIQUE NULLS NOT DISTINCT (tenant_id, stage, key)
);
CREATE INDEX jobs_correlation_id_idx ON jobs (correlation_id);
CREATE INDEX jobs_due_idx ON jobs (available_at) WHERE state = 'pending';
CREATE INDEX jobs_expiring_idx ON jobs (expires_at) WHERE state = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX jobs_finished_at_idx ON jobs (finished_at) WHERE state <> 'pending';

CREATE TABLE nonces (
    nonce TEXT NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT nonces_pkey PRIMARY KEY (nonce)
);
CREATE INDEX nonces_used_at_idx ON nonces (used_at);

CREATE TABLE platform_audit (
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    payload JSON NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT platform_audit_pkey PRIMARY KEY (seq)
);

CREATE TABLE platform_audit_heads (
    is_only BOOLEAN NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT platform_audit_heads_pkey PRIMARY KEY (is_only),
    CONSTRAINT platform_audit_heads_is_only_check CHECK (is_only)
);

CREATE TABLE signals (
    id UUID NOT NULL,
    venue TEXT NOT NULL,
    instrument TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    strategy TEXT NOT NULL,
    strategy_version TEXT NOT NULL,
    side TEXT NOT NULL,
    confidence NUMERIC NOT NULL,
    price NUMERIC NOT NULL,
    exits JSON NOT NULL,
    reasons TEXT[] NOT NULL,
    features JSON NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT signals_pkey PRIMARY KEY (id)
);
CREATE INDEX signals_closed_at_idx ON signals (closed_at);
CREATE INDEX signals_venue_instrument_closed_at_idx ON signals (venue, instrument, closed_at);

CREATE TABLE tenants (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    live_enabled BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_name_key UNIQUE (name)
);

CREATE TABLE tokens (
    token_hash BYTEA NOT NULL,
    tenant_id UUID,
    name TEXT NOT NULL,
    scopes TEXT[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT tokens_pkey PRIMARY KEY (token_hash),
    CONSTRAINT tokens_tenant_id_name_key UNIQUE NULLS NOT DISTINCT (tenant_id, name)
);

CREATE TABLE accounts (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    name TEXT NOT NULL,
    venue TEXT NOT NULL,
    environment TEXT NOT NULL,
    profile TEXT NOT NULL,
    limits JSON NOT NULL,
    live_enabled BOOLEAN DEFAULT false NOT NULL,
    is_reconciled BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT accounts_tenant_id_name_key UNIQUE (tenant_id, name),
    CONSTRAINT accounts_tenants_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

CREATE TABLE tenant_risk (
    tenant_id UUID NOT NULL,
    CONSTRAINT tenant_risk_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenant_risk_tenants_fkey FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

CREATE TABLE account_balances (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    wallet NUMERIC NOT NULL,
    equity NUMERIC NOT NULL,
    available NUMERIC NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT account_balances_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT account_balances_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE account_guards (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    CONSTRAINT account_guards_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT account_guards_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE account_risk (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    peak_equity NUMERIC DEFAULT 0 NOT NULL,
    cooling_until TIMESTAMP WITH TIME ZONE,
    cooling_reason TEXT DEFAULT '' NOT NULL,
    CONSTRAINT account_risk_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT account_risk_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE credentials (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    hint TEXT NOT NULL,
    CONSTRAINT credentials_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT credentials_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE equity (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    equity NUMERIC NOT NULL,
    wallet NUMERIC NOT NULL,
    unrealised NUMERIC NOT NULL,
    day_profit NUMERIC NOT NULL,
    CONSTRAINT equity_pkey PRIMARY KEY (tenant_id, account_id, occurred_at),
    CONSTRAINT equity_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);
CREATE INDEX equity_occurred_at_idx ON equity (occurred_at);

CREATE TABLE fundings (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    venue TEXT NOT NULL,
    income_id TEXT NOT NULL,
    instrument TEXT NOT NULL,
    position_id UUID,
    amount NUMERIC NOT NULL,
    asset TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT fundings_pkey PRIMARY KEY (tenant_id, venue, account_id, instrument, income_id),
    CONSTRAINT fundings_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);
CREATE INDEX fundings_tenant_id_account_id_occurred_at_idx ON fundings (tenant_id, account_id, occurred_at);
CREATE INDEX fundings_tenant_id_position_id_idx ON fundings (tenant_id, position_id);

CREATE TABLE orders (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    venue TEXT NOT NULL,
    instrument TEXT NOT NULL,
    role TEXT NOT NULL,
    side TEXT NOT NULL,
    type TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    price NUMERIC NOT NULL,
    trigger_price NUMERIC,
    client_order_id TEXT NOT NULL,
    signal_id UUID,
    position_id UUID NOT NULL,
    leverage INTEGER NOT NULL,
    halt_epoch BIGINT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    venue_order_id TEXT,
    submitted_at TIMESTAMP WITH TIME ZONE,
    valid_until TIMESTAMP WITH TIME ZONE,
    cancel_requested_at TIMESTAMP WITH TIME ZONE,
    filled_quantity NUMERIC NOT NULL,
    average_price NUMERIC NOT NULL,
    reason TEXT NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT orders_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT orders_tenant_id_client_order_id_key UNIQUE (tenant_id, client_order_id),
    CONSTRAINT orders_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT orders_quantity_above_zero_check CHECK (quantity > 0 AND quantity < 'Infinity'::numeric),
    CONSTRAINT orders_filled_quantity_finite_check CHECK (filled_quantity >= 0 AND filled_quantity < 'Infinity'::numeric)
);
CREATE INDEX orders_created_at_idx ON orders (created_at);
CREATE INDEX orders_live_idx ON orders (tenant_id, account_id, instrument) WHERE status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled');
CREATE INDEX orders_signal_id_idx ON orders (signal_id);
CREATE INDEX orders_tenant_id_account_id_created_at_idx ON orders (tenant_id, account_id, created_at);
CREATE INDEX orders_tenant_id_account_id_venue_order_id_idx ON orders (tenant_id, account_id, venue_order_id);
CREATE INDEX orders_tenant_id_position_id_idx ON orders (tenant_id, position_id);

CREATE TABLE paper_accounts (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    asset TEXT NOT NULL,
    wallet NUMERIC NOT NULL,
    next_number BIGINT NOT NULL,
    CONSTRAINT paper_accounts_pkey PRIMARY KEY (tenant_id, account_id),
    CONSTRAINT paper_accounts_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE paper_fills (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    order_number BIGINT NOT NULL,
    client_order_id TEXT NOT NULL,
    instrument TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    price NUMERIC NOT NULL,
    fee NUMERIC NOT NULL,
    is_maker BOOLEAN NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT paper_fills_pkey PRIMARY KEY (tenant_id, account_id, number),
    CONSTRAINT paper_fills_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);
CREATE INDEX paper_fills_tenant_id_account_id_instrument_occurred_at_idx ON paper_fills (tenant_id, account_id, instrument, occurred_at);

CREATE TABLE paper_fundings (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    instrument TEXT NOT NULL,
    amount NUMERIC NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT paper_fundings_pkey PRIMARY KEY (tenant_id, account_id, number),
    CONSTRAINT paper_fundings_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);
CREATE INDEX paper_fundings_tenant_id_account_id_occurred_at_idx ON paper_fundings (tenant_id, account_id, occurred_at);

CREATE TABLE paper_orders (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    number BIGINT NOT NULL,
    client_order_id TEXT NOT NULL,
    instrument TEXT NOT NULL,
    side TEXT NOT NULL,
    type TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    price NUMERIC NOT NULL,
    trigger_price NUMERIC,
    reduce_only BOOLEAN NOT NULL,
    leverage INTEGER NOT NULL,
    status TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    filled_quantity NUMERIC NOT NULL,
    average_price NUMERIC NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT paper_orders_pkey PRIMARY KEY (tenant_id, account_id, number),
    CONSTRAINT paper_orders_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);
CREATE INDEX paper_orders_live_idx ON paper_orders (tenant_id, account_id) WHERE status IN ('intended', 'submitting', 'unknown', 'accepted', 'partially_filled');
CREATE INDEX paper_orders_tenant_id_account_id_client_order_id_idx ON paper_orders (tenant_id, account_id, client_order_id);

CREATE TABLE paper_positions (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    instrument TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    entry_price NUMERIC NOT NULL,
    leverage INTEGER NOT NULL,
    funded_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT paper_positions_pkey PRIMARY KEY (tenant_id, account_id, instrument),
    CONSTRAINT paper_positions_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE positions (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    venue TEXT NOT NULL,
    instrument TEXT NOT NULL,
    side TEXT NOT NULL,
    strategy TEXT NOT NULL,
    signal_id UUID,
    leverage INTEGER NOT NULL,
    exits JSON NOT NULL,
    quantity NUMERIC NOT NULL,
    opened_quantity NUMERIC NOT NULL,
    entry_price NUMERIC NOT NULL,
    exit_price NUMERIC NOT NULL,
    gross_profit NUMERIC NOT NULL,
    fees NUMERIC NOT NULL,
    funding NUMERIC NOT NULL,
    best_price NUMERIC NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    close_reason TEXT,
    version INTEGER NOT NULL,
    CONSTRAINT positions_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT positions_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT positions_quantity_finite_check CHECK (quantity >= 0 AND quantity < 'Infinity'::numeric)
);
CREATE INDEX positions_closed_idx ON positions (tenant_id, account_id, closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX positions_open_idx ON positions (tenant_id, account_id) WHERE quantity > 0;
CREATE INDEX positions_opened_at_idx ON positions (opened_at);
CREATE INDEX positions_signal_id_idx ON positions (signal_id);
CREATE INDEX positions_tenant_id_account_id_instrument_opened_at_idx ON positions (tenant_id, account_id, instrument, opened_at);

CREATE TABLE quarantine (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    instrument TEXT NOT NULL,
    venue_order_id TEXT NOT NULL,
    client_order_id TEXT,
    detail TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    cleared_at TIMESTAMP WITH TIME ZONE,
    cleared_by TEXT,
    CONSTRAINT quarantine_pkey PRIMARY KEY (tenant_id, account_id, venue_order_id),
    CONSTRAINT quarantine_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE subscriptions (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    venue TEXT NOT NULL,
    strategy TEXT NOT NULL,
    timeframe TEXT NOT NULL,
    instruments TEXT[] NOT NULL,
    advisor TEXT,
    on_advisor_unavailable TEXT NOT NULL,
    active_from TIMESTAMP WITH TIME ZONE NOT NULL,
    active_to TIMESTAMP WITH TIME ZONE,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT subscriptions_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT subscriptions_tenant_id_account_id_strategy_timeframe_key UNIQUE (tenant_id, account_id, strategy, timeframe)
);
CREATE INDEX subscriptions_wanted_idx ON subscriptions (venue, strategy, timeframe);

CREATE TABLE symbol_cooldowns (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    symbol TEXT NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT symbol_cooldowns_pkey PRIMARY KEY (tenant_id, account_id, symbol),
    CONSTRAINT symbol_cooldowns_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id)
);

CREATE TABLE decisions (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    account_id UUID NOT NULL,
    signal_id UUID NOT NULL,
    outcome TEXT NOT NULL,
    veto_level INTEGER,
    veto_rule TEXT,
    veto_measured NUMERIC,
    veto_limit NUMERIC,
    veto_unit TEXT,
    veto_detail TEXT,
    order_id UUID,
    advice_id UUID,
    inputs JSON NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT decisions_pkey PRIMARY KEY (tenant_id, id),
    CONSTRAINT decisions_tenant_id_account_id_signal_id_key UNIQUE (tenant_id, account_id, signal_id),
    CONSTRAINT decisions_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT decisions_orders_fkey FOREIGN KEY(tenant_id, order_id) REFERENCES orders (tenant_id, id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX decisions_occurred_at_idx ON decisions (occurred_at);
CREATE INDEX decisions_signal_id_idx ON decisions (signal_id);
CREATE INDEX decisions_tenant_id_occurred_at_idx ON decisions (tenant_id, occurred_at);

CREATE TABLE fills (
    tenant_id UUID NOT NULL,
    account_id UUID NOT NULL,
    venue TEXT NOT NULL,
    trade_id TEXT NOT NULL,
    order_id UUID NOT NULL,
    position_id UUID NOT NULL,
    instrument TEXT NOT NULL,
    side TEXT NOT NULL,
    quantity NUMERIC NOT NULL,
    price NUMERIC NOT NULL,
    fee NUMERIC NOT NULL,
    fee_asset TEXT NOT NULL,
    is_maker BOOLEAN NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT fills_pkey PRIMARY KEY (tenant_id, venue, account_id, instrument, trade_id),
    CONSTRAINT fills_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT fills_orders_fkey FOREIGN KEY(tenant_id, order_id) REFERENCES orders (tenant_id, id),
    CONSTRAINT fills_quantity_above_zero_check CHECK (quantity > 0 AND quantity < 'Infinity'::numeric),
    CONSTRAINT fills_price_above_zero_check CHECK (price > 0 AND price < 'Infinity'::numeric)
);
CREATE INDEX fills_occurred_at_idx ON fills (occurred_at);
CREATE INDEX fills_tenant_id_account_id_instrument_occurred_at_idx ON fills (tenant_id, account_id, instrument, occurred_at);
CREATE INDEX fills_tenant_id_order_id_idx ON fills (tenant_id, order_id);
CREATE INDEX fills_tenant_id_position_id_idx ON fills (tenant_id, position_id);

CREATE TABLE reservations (
    tenant_id UUID NOT NULL,
    order_id UUID NOT NULL,
    account_id UUID NOT NULL,
    notional NUMERIC NOT NULL,
    margin NUMERIC NOT NULL,
    risk NUMERIC NOT NULL,
    CONSTRAINT reservations_pkey PRIMARY KEY (tenant_id, order_id),
    CONSTRAINT reservations_accounts_fkey FOREIGN KEY(tenant_id, account_id) REFERENCES accounts (tenant_id, id),
    CONSTRAINT reservations_orders_fkey FOREIGN KEY(tenant_id, order_id) REFERENCES orders (tenant_id, id) DEFERRABLE INITIALLY DEFERRED
);
