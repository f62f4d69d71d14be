"""What markets looked like at every close, in months that can be forgotten, and what revised candles were before."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = """
    CREATE TABLE market_snapshots (
        venue TEXT NOT NULL,
        symbol TEXT NOT NULL,
        closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        observed_at TIMESTAMP WITH TIME ZONE,
        spread NUMERIC,
        spread_bps NUMERIC,
        mid NUMERIC,
        imbalance NUMERIC,
        queue_pressure NUMERIC,
        bid_volume NUMERIC,
        ask_volume NUMERIC,
        tape_vwap NUMERIC,
        tape_velocity NUMERIC,
        volume_imbalance NUMERIC,
        mark NUMERIC,
        funding_rate NUMERIC,
        open_interest NUMERIC,
        CONSTRAINT market_snapshots_pkey PRIMARY KEY (venue, symbol, closed_at),
        CONSTRAINT market_snapshots_observed_in_time_check CHECK (observed_at <= closed_at)
    ) PARTITION BY RANGE (closed_at);
    CREATE TABLE candle_revisions (
        venue TEXT NOT NULL,
        symbol TEXT NOT NULL,
        timeframe TEXT NOT NULL,
        opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
        revised_at TIMESTAMP WITH TIME ZONE NOT NULL,
        open NUMERIC NOT NULL,
        high NUMERIC NOT NULL,
        low NUMERIC NOT NULL,
        close NUMERIC NOT NULL,
        volume NUMERIC NOT NULL,
        CONSTRAINT candle_revisions_pkey PRIMARY KEY (venue, symbol, timeframe, opened_at, revised_at)
    );
    ALTER TABLE market_snapshots OWNER TO tradewinds_owner;
    ALTER TABLE candle_revisions OWNER TO tradewinds_owner;
    -- What was observed, and what a candle was, is only ever added; months are forgotten whole.
    GRANT SELECT, INSERT ON market_snapshots, candle_revisions TO tradewinds_app;
    GRANT SELECT ON market_snapshots, candle_revisions TO tradewinds_api, tradewinds_operator;
"""

# As add_candle_month: attaching an empty table locks out no reader and no writer, and whoever waited finds the month.
_MONTHS = """
    CREATE FUNCTION add_snapshot_month(month timestamptz) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        first timestamptz := date_trunc('month', month);
        name text := format('market_snapshots_y%sm%s', to_char(first, 'YYYY'), to_char(first, 'MM'));
    BEGIN
        IF to_regclass('public.' || name) IS NOT NULL THEN
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('tradewinds.market_snapshots'));
        BEGIN
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.market_snapshots INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXCEPTION WHEN duplicate_table THEN
            RETURN;
        END;
        EXECUTE format(
            'ALTER TABLE public.market_snapshots ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, first, first + interval '1 month');
    END
    $$;

    CREATE FUNCTION drop_snapshot_months(cutoff timestamptz) RETURNS integer
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        gone integer := 0;
        name text;
    BEGIN
        FOR name IN
            SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'public.market_snapshots'::regclass
                AND to_date(substring(c.relname FROM 'y(\\d+m\\d+)$'), 'YYYY"m"MM') + interval '1 month' <= cutoff
            ORDER BY c.relname
        LOOP
            EXECUTE format('DROP TABLE public.%I', name);
            gone := gone + 1;
        END LOOP;
        RETURN gone;
    END
    $$;

    CREATE FUNCTION keep_revised_candle() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        INSERT INTO public.candle_revisions (venue, symbol, timeframe, opened_at, revised_at, open, high, low, close, volume)
        VALUES (OLD.venue, OLD.symbol, OLD.timeframe, OLD.opened_at, clock_timestamp(),
            OLD.open, OLD.high, OLD.low, OLD.close, OLD.volume)
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END
    $$;
    REVOKE ALL ON FUNCTION add_snapshot_month(timestamptz), drop_snapshot_months(timestamptz), keep_revised_candle()
        FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION add_snapshot_month(timestamptz), drop_snapshot_months(timestamptz) TO tradewinds_app;
    CREATE TRIGGER revised_candle AFTER UPDATE ON candles
        FOR EACH ROW EXECUTE FUNCTION keep_revised_candle();
"""


def _run(statements: str) -> None:
    # The percent signs are the functions' own.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TABLES)
    _run(_MONTHS)


def downgrade() -> None:
    _run("DROP TRIGGER revised_candle ON candles")
    _run("DROP TABLE market_snapshots, candle_revisions")
    _run("DROP FUNCTION add_snapshot_month, drop_snapshot_months, keep_revised_candle")
