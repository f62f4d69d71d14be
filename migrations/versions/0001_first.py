"""The first tables, and the walls between tenants."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FOLDER = Path(__file__).parent

# The doors belong to the dispatcher, and only their owner may drop them.
_DROP = """
    DROP TABLE reservations, fills, decisions, symbol_cooldowns, subscriptions, quarantine, positions,
        paper_positions, paper_orders, paper_fundings, paper_fills, paper_accounts, orders, fundings,
        equity, credentials, account_risk, account_guards, account_balances, tenant_risk, accounts, tokens,
        tenants, signals, platform_audit_heads, platform_audit, nonces, jobs, instruments, heartbeats,
        halts, halt_epoch, candles, audit_heads, audit, advice;
    DROP FUNCTION refuse_audit_change, add_candle_month;
    SET LOCAL ROLE tradewinds_dispatcher;
    DROP FUNCTION require_no_tenant, hand_over_jobs, due_jobs, job_depths, prune_jobs, prune_equity, active_accounts,
        wanted_markets, signal_subscribers, tenant_directory, set_tenant_state, set_tenant_live, find_token;
    SET LOCAL ROLE tradewinds_owner;
"""


def _run(statements: str) -> None:
    # As one simple query: these are many statements, and their colons are no parameters.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run((_FOLDER / "0001_tables.sql").read_text(encoding="utf-8"))
    _run((_FOLDER / "0001_walls.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    _run(_DROP)
