"""What refreshes have found worth looking at, coins as an aggregator sees them, the market's mood, and prices in doubt."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_TABLES = """
    CREATE TABLE candidates (
        venue TEXT NOT NULL,
        symbol TEXT NOT NULL,
        rank INTEGER,
        cause TEXT,
        measured NUMERIC,
        "limit" NUMERIC,
        unit TEXT,
        score NUMERIC,
        open_interest NUMERIC,
        turnover NUMERIC,
        market_cap NUMERIC,
        refreshed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT candidates_pkey PRIMARY KEY (venue, symbol)
    );
    CREATE TABLE coins (
        source TEXT NOT NULL,
        coin TEXT NOT NULL,
        symbol TEXT NOT NULL,
        price NUMERIC NOT NULL,
        market_cap NUMERIC NOT NULL,
        volume NUMERIC NOT NULL,
        occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT coins_pkey PRIMARY KEY (source, coin)
    );
    CREATE TABLE moods (
        published_at TIMESTAMP WITH TIME ZONE NOT NULL,
        value INTEGER NOT NULL,
        label TEXT NOT NULL,
        CONSTRAINT moods_pkey PRIMARY KEY (published_at)
    );
    CREATE TABLE price_findings (
        venue TEXT NOT NULL,
        symbol TEXT NOT NULL,
        found_at TIMESTAMP WITH TIME ZONE NOT NULL,
        source TEXT NOT NULL,
        price NUMERIC NOT NULL,
        reference NUMERIC NOT NULL,
        deviation_bps NUMERIC NOT NULL,
        CONSTRAINT price_findings_pkey PRIMARY KEY (venue, symbol, found_at)
    );
    ALTER TABLE candidates OWNER TO tradewinds_owner;
    ALTER TABLE coins OWNER TO tradewinds_owner;
    ALTER TABLE moods OWNER TO tradewinds_owner;
    ALTER TABLE price_findings OWNER TO tradewinds_owner;
    GRANT SELECT, INSERT, UPDATE, DELETE ON candidates, coins, moods, price_findings TO tradewinds_app;
    GRANT SELECT ON candidates, coins, moods, price_findings TO tradewinds_api, tradewinds_operator;
"""


def _run(statements: str) -> None:
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TABLES)


def downgrade() -> None:
    _run("DROP TABLE price_findings, moods, coins, candidates")
