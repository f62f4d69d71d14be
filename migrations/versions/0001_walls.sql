-- Who may do what, beside the tables: row-level security, grants, and the few doors through the walls.
-- Runs as tradewinds_owner, which owns every table and is itself subject to the policies (FORCE).

GRANT USAGE ON SCHEMA public
    TO tradewinds_app, tradewinds_api, tradewinds_operator, tradewinds_dispatcher;

INSERT INTO halt_epoch (is_only, epoch) VALUES (true, 0);

-- Rights of the roles ----------------------------------------------------------------------------------------------

-- The workers. No TRUNCATE, no REFERENCES, and no UPDATE or DELETE where facts are only ever added.
GRANT SELECT, INSERT, UPDATE, DELETE ON
    instruments, candles, nonces, heartbeats, credentials, subscriptions, symbol_cooldowns, reservations,
    paper_positions
    TO tradewinds_app;
GRANT SELECT, INSERT, UPDATE ON
    jobs, halts, tokens, accounts, account_guards, account_balances, tenant_risk, account_risk, orders, positions,
    quarantine, equity, audit_heads, platform_audit_heads, paper_accounts, paper_orders
    TO tradewinds_app;
GRANT SELECT, INSERT ON
    signals, advice, tenants, decisions, fills, fundings, audit, platform_audit, paper_fills, paper_fundings
    TO tradewinds_app;
GRANT SELECT, UPDATE ON halt_epoch TO tradewinds_app;

-- The API reads its tenant's rows, and may halt. It never sees keys, not even sealed.
GRANT SELECT ON
    instruments, candles, signals, advice, heartbeats, jobs, halts, tenants, accounts, account_balances, subscriptions,
    account_risk, symbol_cooldowns, reservations, decisions, orders, fills, fundings, positions, quarantine, equity,
    audit, halt_epoch, platform_audit
    TO tradewinds_api;
GRANT SELECT (tenant_id, account_id, key_id, hint) ON credentials TO tradewinds_api;
GRANT INSERT, UPDATE ON halts TO tradewinds_api;
GRANT UPDATE ON halt_epoch TO tradewinds_api;
GRANT SELECT, INSERT ON nonces TO tradewinds_api;
GRANT INSERT ON jobs, audit, platform_audit TO tradewinds_api;
GRANT SELECT, INSERT, UPDATE ON audit_heads, platform_audit_heads TO tradewinds_api;

-- The operator reads everything but keys and hashes of tokens.
GRANT SELECT ON
    instruments, candles, signals, advice, heartbeats, jobs, halts, tenants, accounts, account_balances, subscriptions,
    account_risk, tenant_risk, symbol_cooldowns, reservations, decisions, orders, fills, fundings, positions,
    quarantine, equity, audit, audit_heads, platform_audit, platform_audit_heads, halt_epoch, paper_accounts,
    paper_orders, paper_fills, paper_fundings, paper_positions
    TO tradewinds_operator;
GRANT SELECT (tenant_id, account_id, key_id, hint) ON credentials TO tradewinds_operator;
GRANT SELECT (tenant_id, name, scopes, created_at, revoked_at) ON tokens TO tradewinds_operator;

-- The dispatcher owns the doors below and reads no more than they need.
GRANT SELECT ON jobs, tenants, accounts, subscriptions, halts, account_risk, positions, quarantine, tokens, equity
    TO tradewinds_dispatcher;
GRANT INSERT, DELETE, UPDATE (rung_at) ON jobs TO tradewinds_dispatcher;
GRANT DELETE ON equity TO tradewinds_dispatcher;
GRANT UPDATE (state, live_enabled) ON tenants TO tradewinds_dispatcher;

-- Walls ------------------------------------------------------------------------------------------------------------

DO $walls$
DECLARE
    walled text;
    own CONSTANT text := 'tenant_id = nullif(current_setting(''app.tenant_id'', true), '''')::uuid';
BEGIN
    FOREACH walled IN ARRAY ARRAY[
        'accounts', 'account_guards', 'account_balances', 'credentials', 'subscriptions', 'tenant_risk', 'account_risk',
        'symbol_cooldowns', 'reservations', 'decisions', 'orders', 'fills', 'fundings', 'positions', 'quarantine',
        'equity', 'audit', 'audit_heads', 'paper_accounts', 'paper_orders', 'paper_fills', 'paper_fundings',
        'paper_positions'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', walled);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', walled);
        EXECUTE format('CREATE POLICY tenant_own ON %I USING (%s) WITH CHECK (%s)', walled, own, own);
    END LOOP;
    FOREACH walled IN ARRAY ARRAY['tenants', 'jobs', 'halts', 'tokens'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', walled);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', walled);
    END LOOP;
    -- Rows of nobody belong to whoever works for nobody; without a tenant both sides are null.
    FOREACH walled IN ARRAY ARRAY['jobs', 'tokens'] LOOP
        EXECUTE format(
            'CREATE POLICY tenant_own ON %I
                USING (tenant_id IS NOT DISTINCT FROM nullif(current_setting(''app.tenant_id'', true), '''')::uuid)
                WITH CHECK (tenant_id IS NOT DISTINCT FROM nullif(current_setting(''app.tenant_id'', true), '''')::uuid)',
            walled);
    END LOOP;
END
$walls$;

-- A tenant is its own row; whoever works for nobody may enter a new one, and sees it through tenant_directory().
CREATE POLICY tenant_own ON tenants
    USING (id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY tenant_entry ON tenants FOR INSERT
    WITH CHECK (nullif(current_setting('app.tenant_id', true), '') IS NULL);

-- The platform's halts are seen by all; each imposer writes and lifts its own only.
CREATE POLICY halt_seen ON halts FOR SELECT
    USING (tenant_id IS NULL OR tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY halt_imposed ON halts FOR INSERT
    WITH CHECK (tenant_id IS NOT DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY halt_lifted ON halts FOR UPDATE
    USING (tenant_id IS NOT DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id IS NOT DISTINCT FROM nullif(current_setting('app.tenant_id', true), '')::uuid);

-- The operator sees through every wall and changes nothing.
DO $operator$
DECLARE
    walled text;
BEGIN
    FOR walled IN SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relrowsecurity LOOP
        EXECUTE format('CREATE POLICY operator_reads ON %I FOR SELECT TO tradewinds_operator USING (true)', walled);
    END LOOP;
END
$operator$;

CREATE POLICY dispatcher_reads ON tenants FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_sets ON tenants FOR UPDATE TO tradewinds_dispatcher USING (true) WITH CHECK (true);
CREATE POLICY dispatcher_reads ON accounts FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON subscriptions FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON halts FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON account_risk FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON positions FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON quarantine FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON tokens FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON jobs FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_adds ON jobs FOR INSERT TO tradewinds_dispatcher WITH CHECK (true);
CREATE POLICY dispatcher_rings ON jobs FOR UPDATE TO tradewinds_dispatcher USING (true) WITH CHECK (true);
CREATE POLICY dispatcher_prunes ON jobs FOR DELETE TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON equity FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_prunes ON equity FOR DELETE TO tradewinds_dispatcher USING (true);

-- The audit trail is only ever added to, by anybody ------------------------------------------------------------------

CREATE FUNCTION refuse_audit_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail cannot be changed: % on %', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON platform_audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- Months of candles: attaching an empty table locks out no reader and no writer ---------------------------------------

CREATE FUNCTION add_candle_month(month timestamptz) RETURNS void
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
    EXECUTE format('CREATE TABLE public.%I (LIKE public.candles INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'ALTER TABLE public.candles ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        name, first, first + interval '1 month');
END
$$;
REVOKE ALL ON FUNCTION add_candle_month(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION add_candle_month(timestamptz) TO tradewinds_app;

-- Doors through the walls: owned by the dispatcher, for work that belongs to no tenant --------------------------------

GRANT CREATE ON SCHEMA public TO tradewinds_dispatcher;
SET LOCAL ROLE tradewinds_dispatcher;

CREATE FUNCTION require_no_tenant() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF nullif(current_setting('app.tenant_id', true), '') IS NOT NULL THEN
        RAISE EXCEPTION 'work that crosses tenants needs a unit of work without tenant'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

CREATE FUNCTION hand_over_jobs(
    ids uuid[], tenants uuid[], stages text[], keys text[], payloads jsonb[], correlations uuid[], causations uuid[],
    created timestamptz[], available timestamptz[], expires timestamptz[]
) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        INSERT INTO public.jobs (id, tenant_id, stage, key, payload, correlation_id, causation_id, created_at,
            available_at, expires_at)
        SELECT * FROM unnest(
            ids, tenants, stages, keys, payloads, correlations, causations, created, available, expires)
        ON CONFLICT DO NOTHING RETURNING jobs.id;
END
$$;

-- What is claimed just now is locked and left out; what was named within `quiet` too, so that a backlog is not rung for
-- at every tick. A clock that was set back does not silence anything.
-- A job that was put off after it was rung has not been rung for since it became due again: `quiet` does not cover it.
CREATE FUNCTION due_jobs(at timestamptz, older_than timestamptz, quiet interval, jobs_max integer)
    RETURNS TABLE (id uuid, stage text, tenant_id uuid)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        WITH late AS (
            SELECT j.id FROM public.jobs AS j
            WHERE j.state = 'pending' AND j.available_at <= older_than
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

CREATE FUNCTION job_depths(at timestamptz)
    RETURNS TABLE (stage text, pending bigint, oldest timestamptz)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        SELECT j.stage, count(*), min(j.available_at) FROM public.jobs AS j
        WHERE j.state = 'pending' AND j.available_at <= at GROUP BY j.stage ORDER BY j.stage;
END
$$;

CREATE FUNCTION prune_jobs(cutoff timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM public.require_no_tenant();
    DELETE FROM public.jobs WHERE state <> 'pending' AND finished_at < cutoff;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

CREATE FUNCTION prune_equity(cutoff timestamptz) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone bigint;
BEGIN
    PERFORM public.require_no_tenant();
    DELETE FROM public.equity WHERE occurred_at < cutoff;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;

CREATE FUNCTION active_accounts() RETURNS TABLE (tenant_id uuid, account_id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY SELECT a.tenant_id, a.id FROM public.accounts AS a ORDER BY a.tenant_id, a.id;
END
$$;

CREATE FUNCTION wanted_markets(at_venue text, at timestamptz)
    RETURNS TABLE (strategy text, timeframe text, instruments text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        SELECT s.strategy, s.timeframe, array_agg(DISTINCT i.instrument ORDER BY i.instrument)
        FROM public.subscriptions AS s CROSS JOIN LATERAL unnest(s.instruments) AS i (instrument)
        WHERE s.venue = at_venue
            AND (at IS NULL OR (s.active_from <= at AND (s.active_to IS NULL OR s.active_to > at)))
        GROUP BY s.strategy, s.timeframe ORDER BY s.strategy, s.timeframe;
END
$$;

-- can_act asks for what makes an entry impossible whatever risk says: the model is not called for nobody.
CREATE FUNCTION signal_subscribers(
    at_venue text, on_instrument text, in_timeframe text, by_strategy text, at timestamptz, caps jsonb
) RETURNS TABLE (tenant_id uuid, account_id uuid, advisor text, can_act boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        SELECT DISTINCT ON (s.tenant_id, s.account_id) s.tenant_id, s.account_id, s.advisor,
            t.state = 'active' AND a.is_reconciled AND coalesce(k.cooling_until <= at, true)
            AND (SELECT count(*) FROM public.positions AS p
                WHERE p.tenant_id = s.tenant_id AND p.account_id = s.account_id AND p.quantity > 0)
                < coalesce((a.limits ->> 'position_count_max')::bigint, (caps ->> a.profile)::bigint, 9223372036854775807)
            AND NOT EXISTS (SELECT FROM public.halts AS h
                WHERE h.lifted_at IS NULL AND (h.tenant_id IS NULL OR h.tenant_id = s.tenant_id) AND (
                    h.scope = 'platform'
                    OR (h.scope = 'venue' AND h.subject = at_venue)
                    OR (h.scope = 'tenant' AND h.subject = s.tenant_id::text)
                    OR (h.scope = 'strategy' AND h.subject = by_strategy)
                    OR (h.scope = 'instrument' AND h.subject = on_instrument)))
            AND NOT EXISTS (SELECT FROM public.quarantine AS q
                WHERE q.tenant_id = s.tenant_id AND q.account_id = s.account_id AND q.instrument = on_instrument
                    AND q.cleared_at IS NULL)
        FROM public.subscriptions AS s
        JOIN public.tenants AS t ON t.id = s.tenant_id
        JOIN public.accounts AS a ON a.tenant_id = s.tenant_id AND a.id = s.account_id
        LEFT JOIN public.account_risk AS k ON k.tenant_id = s.tenant_id AND k.account_id = s.account_id
        WHERE s.venue = at_venue AND s.strategy = by_strategy AND s.timeframe = in_timeframe
            AND on_instrument = ANY (s.instruments)
            AND s.active_from <= at AND (s.active_to IS NULL OR s.active_to > at)
        ORDER BY s.tenant_id, s.account_id, s.advisor NULLS LAST, s.id;
END
$$;

-- A tenant in context sees itself here, nobody's worker sees all.
CREATE FUNCTION tenant_directory() RETURNS TABLE (id uuid, name text, state text, created_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.id, t.name, t.state, t.created_at FROM public.tenants AS t
    WHERE nullif(current_setting('app.tenant_id', true), '') IS NULL
        OR t.id = nullif(current_setting('app.tenant_id', true), '')::uuid
    ORDER BY t.name
$$;

CREATE FUNCTION set_tenant_state(tenant uuid, new_state text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.tenants SET state = new_state
    WHERE id = tenant AND coalesce(id = nullif(current_setting('app.tenant_id', true), '')::uuid, true);
    RETURN FOUND;
END
$$;

CREATE FUNCTION set_tenant_live(tenant uuid, allowed boolean) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.tenants SET live_enabled = allowed
    WHERE id = tenant AND coalesce(id = nullif(current_setting('app.tenant_id', true), '')::uuid, true);
    RETURN FOUND;
END
$$;

CREATE FUNCTION find_token(presented bytea) RETURNS TABLE (tenant_id uuid, name text, scopes text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        SELECT k.tenant_id, k.name, k.scopes FROM public.tokens AS k
        WHERE k.token_hash = presented AND k.revoked_at IS NULL;
END
$$;

REVOKE ALL ON FUNCTION
    require_no_tenant(),
    hand_over_jobs(uuid[], uuid[], text[], text[], jsonb[], uuid[], uuid[], timestamptz[], timestamptz[], timestamptz[]),
    due_jobs(timestamptz, timestamptz, interval, integer), job_depths(timestamptz), prune_jobs(timestamptz),
    prune_equity(timestamptz), active_accounts(), wanted_markets(text, timestamptz),
    signal_subscribers(text, text, text, text, timestamptz, jsonb), tenant_directory(), set_tenant_state(uuid, text),
    set_tenant_live(uuid, boolean), find_token(bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    hand_over_jobs(uuid[], uuid[], text[], text[], jsonb[], uuid[], uuid[], timestamptz[], timestamptz[], timestamptz[]),
    due_jobs(timestamptz, timestamptz, interval, integer), job_depths(timestamptz), prune_jobs(timestamptz),
    prune_equity(timestamptz), active_accounts(), wanted_markets(text, timestamptz),
    signal_subscribers(text, text, text, text, timestamptz, jsonb), tenant_directory(), set_tenant_state(uuid, text),
    set_tenant_live(uuid, boolean), find_token(bytea)
    TO tradewinds_app;
GRANT EXECUTE ON FUNCTION
    hand_over_jobs(uuid[], uuid[], text[], text[], jsonb[], uuid[], uuid[], timestamptz[], timestamptz[], timestamptz[]),
    job_depths(timestamptz), tenant_directory(), find_token(bytea)
    TO tradewinds_api;

SET LOCAL ROLE tradewinds_owner;
REVOKE CREATE ON SCHEMA public FROM tradewinds_dispatcher;
