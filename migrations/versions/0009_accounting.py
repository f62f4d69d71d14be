"""What moved wallets beside trading, what venues' statements come to, and what was wrong with closed trades."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_TABLES = """
    CREATE TABLE cash_flows (
        tenant_id UUID NOT NULL,
        account_id UUID NOT NULL,
        venue TEXT NOT NULL,
        kind TEXT NOT NULL,
        income_id TEXT NOT NULL,
        amount NUMERIC NOT NULL,
        asset TEXT NOT NULL,
        note TEXT NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT cash_flows_pkey PRIMARY KEY (tenant_id, account_id, kind, income_id),
        CONSTRAINT cash_flows_accounts_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id)
    );
    CREATE TABLE statements (
        tenant_id UUID NOT NULL,
        account_id UUID NOT NULL,
        asset TEXT NOT NULL,
        wallet NUMERIC NOT NULL,
        expected NUMERIC NOT NULL,
        first_difference TEXT NOT NULL,
        checked_at TIMESTAMP WITH TIME ZONE NOT NULL,
        agreed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        differs_since TIMESTAMP WITH TIME ZONE,
        alerted_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT statements_pkey PRIMARY KEY (tenant_id, account_id),
        CONSTRAINT statements_accounts_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id)
    );
    CREATE TABLE reviews (
        tenant_id UUID NOT NULL,
        position_id UUID NOT NULL,
        account_id UUID NOT NULL,
        labels TEXT[] NOT NULL,
        severity INTEGER NOT NULL,
        grade TEXT NOT NULL,
        evidence JSON NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        reviewed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT reviews_pkey PRIMARY KEY (tenant_id, position_id),
        CONSTRAINT reviews_accounts_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id),
        CONSTRAINT reviews_positions_fkey FOREIGN KEY (tenant_id, position_id) REFERENCES positions (tenant_id, id)
    );
    CREATE INDEX reviews_tenant_id_closed_at_idx ON reviews (tenant_id, closed_at);
    CREATE INDEX reviews_closed_at_idx ON reviews (closed_at);
    CREATE INDEX positions_tenant_id_closed_at_idx ON positions (tenant_id, closed_at) WHERE closed_at IS NOT NULL;
"""

_WALLS = """
    ALTER TABLE {table} OWNER TO tradewinds_owner;
    GRANT SELECT, INSERT, UPDATE ON {table} TO tradewinds_app;
    GRANT SELECT ON {table} TO tradewinds_api, tradewinds_operator;
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_own ON {table}
        USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
    CREATE POLICY operator_reads ON {table} FOR SELECT TO tradewinds_operator USING (true);
"""

_NAMES = ("cash_flows", "statements", "reviews")


def _run(statements: str) -> None:
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TABLES + "".join(_WALLS.format(table=name) for name in _NAMES))


def downgrade() -> None:
    _run("DROP INDEX positions_tenant_id_closed_at_idx; DROP TABLE reviews, statements, cash_flows")
