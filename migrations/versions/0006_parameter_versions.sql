-- A tenant's parameter sets, when each was in force, and what scans and signals ask of them.

CREATE TABLE parameter_versions (
    tenant_id UUID NOT NULL,
    strategy TEXT NOT NULL,
    number INTEGER NOT NULL,
    parameters JSON NOT NULL,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    proposed_by TEXT NOT NULL,
    proposed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT NOT NULL,
    moves INTEGER NOT NULL,
    decided_by TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    decision TEXT NOT NULL,
    CONSTRAINT parameter_versions_pkey PRIMARY KEY (tenant_id, strategy, number),
    CONSTRAINT parameter_versions_tenants_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);
CREATE UNIQUE INDEX parameter_versions_active_idx ON parameter_versions (tenant_id, strategy) WHERE state = 'active';

CREATE TABLE parameter_activations (
    tenant_id UUID NOT NULL,
    strategy TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    active_from TIMESTAMP WITH TIME ZONE NOT NULL,
    active_to TIMESTAMP WITH TIME ZONE,
    CONSTRAINT parameter_activations_pkey PRIMARY KEY (tenant_id, strategy, sequence),
    CONSTRAINT parameter_activations_tenants_fkey FOREIGN KEY (tenant_id) REFERENCES tenants (id)
);

ALTER TABLE parameter_versions OWNER TO tradewinds_owner;
ALTER TABLE parameter_activations OWNER TO tradewinds_owner;
-- What was proposed and when it was in force is never deleted: outcomes of signals are judged by it.
GRANT SELECT, INSERT, UPDATE ON parameter_versions, parameter_activations TO tradewinds_app;
GRANT SELECT ON parameter_versions, parameter_activations
    TO tradewinds_api, tradewinds_operator, tradewinds_dispatcher;
GRANT SELECT ON signals TO tradewinds_dispatcher;

ALTER TABLE parameter_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE parameter_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE parameter_activations ENABLE ROW LEVEL SECURITY;
ALTER TABLE parameter_activations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_own ON parameter_versions
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY tenant_own ON parameter_activations
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY operator_reads ON parameter_versions FOR SELECT TO tradewinds_operator USING (true);
CREATE POLICY operator_reads ON parameter_activations FOR SELECT TO tradewinds_operator USING (true);
CREATE POLICY dispatcher_reads ON parameter_versions FOR SELECT TO tradewinds_dispatcher USING (true);
CREATE POLICY dispatcher_reads ON parameter_activations FOR SELECT TO tradewinds_dispatcher USING (true);

-- What a strategy says to those who hold a position is said for one parameter set; what was said so far was the defaults'.
ALTER TABLE leavings DROP CONSTRAINT pk_leavings;
ALTER TABLE leavings ADD COLUMN digest TEXT NOT NULL DEFAULT '';
ALTER TABLE leavings ALTER COLUMN digest DROP DEFAULT;
ALTER TABLE leavings
    ADD CONSTRAINT leavings_pkey PRIMARY KEY (venue, instrument, strategy, digest, side, closed_at);

SET LOCAL ROLE tradewinds_dispatcher;
DROP FUNCTION wanted_markets(text, timestamptz), signal_subscribers(text, text, text, text, timestamptz, jsonb);
SET LOCAL ROLE tradewinds_owner;

GRANT CREATE ON SCHEMA public TO tradewinds_dispatcher;
SET LOCAL ROLE tradewinds_dispatcher;

-- A parameter set counts for the candles that close while it is in force; before the first one those are the defaults.
-- Whoever holds a position goes on hearing from the set it was opened with, on the candles it was opened on.
CREATE FUNCTION wanted_markets(at_venue text, at timestamptz, raised timestamptz)
    RETURNS TABLE (strategy text, digest text, parameters json, timeframe text, instruments text[])
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.require_no_tenant();
    RETURN QUERY
        WITH wishes AS (
            SELECT s.strategy, coalesce(a.digest, '') AS digest, coalesce(v.parameters::text, '{}') AS parameters,
                s.timeframe, i.instrument
            FROM public.subscriptions AS s CROSS JOIN LATERAL unnest(s.instruments) AS i (instrument)
            LEFT JOIN public.parameter_activations AS a ON a.tenant_id = s.tenant_id AND a.strategy = s.strategy
                AND a.active_from <= coalesce(raised, 'infinity')
                AND (a.active_to IS NULL OR a.active_to > coalesce(raised, 'infinity'))
            LEFT JOIN public.parameter_versions AS v
                ON v.tenant_id = a.tenant_id AND v.strategy = a.strategy AND v.number = a.number
            WHERE s.venue = at_venue
                AND (at IS NULL OR (s.active_from <= at AND (s.active_to IS NULL OR s.active_to > at)))
            UNION
            SELECT g.strategy, split_part(g.strategy_version, '-', 2), coalesce(v.parameters::text, '{}'), g.timeframe,
                p.instrument
            FROM public.positions AS p JOIN public.signals AS g ON g.id = p.signal_id
            LEFT JOIN LATERAL (
                SELECT w.parameters FROM public.parameter_versions AS w
                WHERE w.tenant_id = p.tenant_id AND w.strategy = g.strategy
                    AND w.digest = split_part(g.strategy_version, '-', 2) LIMIT 1) AS v ON true
            WHERE p.venue = at_venue AND p.quantity > 0
        )
        SELECT w.strategy, w.digest, w.parameters::json, w.timeframe,
            array_agg(DISTINCT w.instrument ORDER BY w.instrument)
        FROM wishes AS w
        GROUP BY w.strategy, w.digest, w.parameters, w.timeframe ORDER BY w.strategy, w.timeframe, w.digest;
END
$$;

-- can_act asks for what makes an entry impossible whatever risk says: the model is not called for nobody.
-- Who uses which parameters is asked as of the candle's close, so that a switch between scan and model loses nobody.
CREATE FUNCTION signal_subscribers(
    at_venue text, on_instrument text, in_timeframe text, by_strategy text, with_digest text, raised timestamptz,
    at timestamptz, caps jsonb
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
        LEFT JOIN public.parameter_activations AS v ON v.tenant_id = s.tenant_id AND v.strategy = s.strategy
            AND v.active_from <= raised AND (v.active_to IS NULL OR v.active_to > raised)
        WHERE s.venue = at_venue AND s.strategy = by_strategy AND s.timeframe = in_timeframe
            AND on_instrument = ANY (s.instruments)
            AND s.active_from <= at AND (s.active_to IS NULL OR s.active_to > at)
            AND coalesce(v.digest, '') = with_digest
        ORDER BY s.tenant_id, s.account_id, s.advisor NULLS LAST, s.id;
END
$$;

REVOKE ALL ON FUNCTION
    wanted_markets(text, timestamptz, timestamptz),
    signal_subscribers(text, text, text, text, text, timestamptz, timestamptz, jsonb)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    wanted_markets(text, timestamptz, timestamptz),
    signal_subscribers(text, text, text, text, text, timestamptz, timestamptz, jsonb)
    TO tradewinds_app;

SET LOCAL ROLE tradewinds_owner;
REVOKE CREATE ON SCHEMA public FROM tradewinds_dispatcher;
