"""A job that was put off is rung for as soon as it is due: nobody else has rung for it, so there is no message to wait for."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_DUE_JOBS = """
    GRANT CREATE ON SCHEMA public TO tradewinds_dispatcher;
    SET LOCAL ROLE tradewinds_dispatcher;
    CREATE OR REPLACE FUNCTION due_jobs(at timestamptz, older_than timestamptz, quiet interval, jobs_max integer)
        RETURNS TABLE (id uuid, stage text, tenant_id uuid)
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        PERFORM public.require_no_tenant();
        RETURN QUERY
            WITH late AS (
                SELECT j.id FROM public.jobs AS j
                WHERE j.state = 'pending' AND {is_due}
                    AND (j.rung_at IS NULL OR j.rung_at < j.available_at OR j.rung_at <= at - quiet OR j.rung_at > at)
                ORDER BY j.available_at LIMIT jobs_max FOR UPDATE SKIP LOCKED
            ), over AS (
                SELECT j.id FROM public.jobs AS j
                WHERE j.state = 'pending' AND j.expires_at <= at AND j.available_at <= at
                    AND (j.rung_at IS NULL OR j.rung_at < j.available_at OR j.rung_at <= at - quiet OR j.rung_at > at)
                ORDER BY j.expires_at LIMIT jobs_max FOR UPDATE SKIP LOCKED
            ), rung AS (
                UPDATE public.jobs AS j SET rung_at = at
                WHERE j.id IN (SELECT l.id FROM late AS l UNION SELECT o.id FROM over AS o)
                RETURNING j.id, j.stage, j.tenant_id, j.available_at
            )
            SELECT r.id, r.stage, r.tenant_id FROM rung AS r ORDER BY r.available_at, r.id LIMIT jobs_max;
    END
    $$;
    SET LOCAL ROLE tradewinds_owner;
    REVOKE CREATE ON SCHEMA public FROM tradewinds_dispatcher;
"""


def upgrade() -> None:
    # Made for later, or put off: whoever did it rang for nothing then.
    op.execute(
        _DUE_JOBS.format(is_due="j.available_at <= CASE WHEN j.available_at > j.created_at THEN at ELSE older_than END")
    )


def downgrade() -> None:
    op.execute(_DUE_JOBS.format(is_due="j.available_at <= older_than"))
