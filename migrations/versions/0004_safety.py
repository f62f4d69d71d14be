"""What flattening has come to at the venue, account by account, and what a probe found out about each venue."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = """
    CREATE TABLE flattenings (
        tenant_id UUID NOT NULL,
        account_id UUID NOT NULL,
        epoch BIGINT NOT NULL,
        halted_at TIMESTAMP WITH TIME ZONE NOT NULL,
        seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
        at_venue TEXT[] NOT NULL,
        in_ledger TEXT[] NOT NULL,
        flat_at TIMESTAMP WITH TIME ZONE,
        CONSTRAINT flattenings_pkey PRIMARY KEY (tenant_id, account_id, epoch),
        CONSTRAINT flattenings_accounts_fkey FOREIGN KEY (tenant_id, account_id) REFERENCES accounts (tenant_id, id)
    );
    CREATE TABLE capability_records (
        venue TEXT NOT NULL,
        mode TEXT NOT NULL,
        personality TEXT NOT NULL,
        build TEXT NOT NULL,
        probed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        passed INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        is_passing BOOLEAN NOT NULL,
        findings JSON NOT NULL,
        cases JSON NOT NULL,
        CONSTRAINT capability_records_pkey PRIMARY KEY (venue, mode)
    );
    ALTER TABLE flattenings OWNER TO tradewinds_owner;
    ALTER TABLE capability_records OWNER TO tradewinds_owner;
    GRANT SELECT, INSERT, UPDATE ON flattenings, capability_records TO tradewinds_app;
    GRANT SELECT ON flattenings, capability_records TO tradewinds_api, tradewinds_operator;
    ALTER TABLE flattenings ENABLE ROW LEVEL SECURITY;
    ALTER TABLE flattenings FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_own ON flattenings
        USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
        WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
    CREATE POLICY operator_reads ON flattenings FOR SELECT TO tradewinds_operator USING (true);
"""


def _run(statements: str) -> None:
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TABLES)


def downgrade() -> None:
    _run("DROP TABLE flattenings, capability_records")
