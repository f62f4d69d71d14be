"""Of every series of candles where it begins and ends, and a number that tells whether what was there has changed."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLE = """
    CREATE TABLE candle_series (
        venue TEXT NOT NULL,
        symbol TEXT NOT NULL,
        timeframe TEXT NOT NULL,
        first_opened_at TIMESTAMP WITH TIME ZONE,
        last_opened_at TIMESTAMP WITH TIME ZONE,
        revision BIGINT NOT NULL,
        CONSTRAINT candle_series_pkey PRIMARY KEY (venue, symbol, timeframe)
    ) WITH (fillfactor = 50);
    ALTER TABLE candle_series OWNER TO tradewinds_owner;
    GRANT SELECT ON candle_series TO tradewinds_app, tradewinds_api, tradewinds_operator;
    INSERT INTO candle_series
        SELECT venue, symbol, timeframe, min(opened_at), max(opened_at), 0 FROM candles GROUP BY venue, symbol, timeframe;
"""

# Whoever writes: a candle that goes on a series changes nothing of what was there; any other write makes it another one.
# One statement, so that of two writers of a series the second sees what the first has made of it. Always in one order.
_TRIGGERS = """
    CREATE FUNCTION note_candles() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        INSERT INTO public.candle_series AS kept (venue, symbol, timeframe, first_opened_at, last_opened_at, revision)
        SELECT venue, symbol, timeframe, min(opened_at), max(opened_at), 0 FROM written
        GROUP BY venue, symbol, timeframe ORDER BY venue, symbol, timeframe
        ON CONFLICT (venue, symbol, timeframe) DO UPDATE SET
            first_opened_at = least(kept.first_opened_at, excluded.first_opened_at),
            last_opened_at = greatest(kept.last_opened_at, excluded.last_opened_at),
            revision = kept.revision
                + CASE WHEN excluded.first_opened_at <= kept.last_opened_at THEN 1 ELSE 0 END;
        RETURN NULL;
    END
    $$;

    CREATE FUNCTION note_deleted_candles() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM FROM public.candle_series AS kept
            WHERE (venue, symbol, timeframe) IN (SELECT venue, symbol, timeframe FROM gone)
            ORDER BY venue, symbol, timeframe FOR UPDATE;
        UPDATE public.candle_series AS kept SET revision = revision + 1,
            first_opened_at = (SELECT min(opened_at) FROM public.candles AS c
                WHERE c.venue = kept.venue AND c.symbol = kept.symbol AND c.timeframe = kept.timeframe),
            last_opened_at = (SELECT max(opened_at) FROM public.candles AS c
                WHERE c.venue = kept.venue AND c.symbol = kept.symbol AND c.timeframe = kept.timeframe)
            WHERE (venue, symbol, timeframe) IN (SELECT venue, symbol, timeframe FROM gone);
        RETURN NULL;
    END
    $$;
    ALTER FUNCTION note_candles() OWNER TO tradewinds_owner;
    ALTER FUNCTION note_deleted_candles() OWNER TO tradewinds_owner;
    REVOKE ALL ON FUNCTION note_candles(), note_deleted_candles() FROM PUBLIC;

    CREATE TRIGGER added_candles AFTER INSERT ON candles REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION note_candles();
    CREATE TRIGGER changed_candles AFTER UPDATE ON candles REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION note_candles();
    CREATE TRIGGER deleted_candles AFTER DELETE ON candles REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION note_deleted_candles();
"""


def _run(statements: str) -> None:
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TABLE)
    _run(_TRIGGERS)


def downgrade() -> None:
    _run("DROP TRIGGER added_candles ON candles; DROP TRIGGER changed_candles ON candles")
    _run("DROP TRIGGER deleted_candles ON candles")
    _run("DROP FUNCTION note_candles, note_deleted_candles")
    _run("DROP TABLE candle_series")
