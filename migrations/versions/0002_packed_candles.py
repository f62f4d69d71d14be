"""Candles packed as indicators read them, so that a scan reads bytes instead of parsing decimals."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PACK = """
    ALTER TABLE candles ADD COLUMN packed bytea GENERATED ALWAYS AS (
        timestamptz_send(opened_at) || float8send(open::double precision) || float8send(high::double precision)
        || float8send(low::double precision) || float8send(close::double precision)
        || float8send(volume::double precision)) STORED
"""

_UNPACK = "ALTER TABLE candles DROP COLUMN packed"

_ADD_MONTH = """
    CREATE OR REPLACE FUNCTION add_candle_month(month timestamptz) RETURNS void
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
    DECLARE
        first timestamptz := date_trunc('month', month);
        name text := format('candles_y%sm%s', to_char(first, 'YYYY'), to_char(first, 'MM'));
    BEGIN
        IF to_regclass('public.' || name) IS NOT NULL THEN
            RETURN;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('tradewinds.candles'));
        IF to_regclass('public.' || name) IS NOT NULL THEN
            RETURN;
        END IF;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.candles INCLUDING {included})', name);
        EXECUTE format(
            'ALTER TABLE public.candles ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, first, first + interval '1 month');
    END
    $$
"""


def _run(statement: str) -> None:
    # The percent signs are the function's own.
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_PACK)
    _run(_ADD_MONTH.replace("{included}", "DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED"))


def downgrade() -> None:
    _run(_ADD_MONTH.replace("{included}", "DEFAULTS INCLUDING CONSTRAINTS"))
    _run(_UNPACK)
