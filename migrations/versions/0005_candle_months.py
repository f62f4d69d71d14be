"""Two writers that open the same month at the same time, of whom the second waited for the first."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Whoever waited has asked for the name before, found nothing, and remembers that: the second look would not notice
# what the first writer has committed meanwhile. Only creating it tells.
_TOLERANT = """
        BEGIN
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.candles '
                'INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', name);
        EXCEPTION WHEN duplicate_table THEN
            RETURN;
        END;
"""

_STRICT = """
        IF to_regclass('public.' || name) IS NOT NULL THEN
            RETURN;
        END IF;
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.candles '
            'INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', name);
"""

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
        {create}
        EXECUTE format(
            'ALTER TABLE public.candles ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            name, first, first + interval '1 month');
    END
    $$
"""


def _run(create: str) -> None:
    # The percent signs are the function's own.
    statement = _ADD_MONTH.replace("{create}", create)
    op.get_bind().exec_driver_sql(statement, execution_options={"no_parameters": True})


def upgrade() -> None:
    _run(_TOLERANT)


def downgrade() -> None:
    _run(_STRICT)
