"""What the catalogue of a database says about its walls; every sentence it returns is a hole."""

from __future__ import annotations

from typing import Any

import psycopg

from common.store.tables import NULLABLE_TENANT, REGISTRY

OWN = "(tenant_id = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"

_TENANT_TABLES = """
    SELECT c.relname FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND EXISTS (SELECT FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)
    ORDER BY c.relname
"""

_UNFORCED = """
    SELECT relname || ' does not force row-level security' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%(walled)s)
        AND NOT (relrowsecurity AND relforcerowsecurity)
"""

# Only rows of the tenant in context, for reading and for writing, and nothing else for the working roles.
_OPEN_POLICIES = """
    SELECT c.relname || ' has no policy of its own tenant' FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (%(strict)s) AND NOT EXISTS (
        SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polpermissive
            AND p.polroles = '{0}' AND pg_get_expr(p.polqual, p.polrelid) = %(own)s
            AND pg_get_expr(p.polwithcheck, p.polrelid) = %(own)s)
    UNION ALL
    SELECT c.relname || ' is opened to everybody by policy ' || p.polname
    FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
    WHERE c.relname = ANY (%(strict)s) AND p.polname <> 'tenant_own' AND NOT (p.polroles <@ ARRAY(
        SELECT oid FROM pg_roles WHERE rolname IN ('tradewinds_operator', 'tradewinds_dispatcher')))
"""

_KEYS = """
    SELECT c.relname || ': unique index ' || i.indexrelid::regclass || ' does not begin with tenant_id'
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
    WHERE c.relnamespace = 'public'::regnamespace AND i.indisunique AND a.attname <> 'tenant_id'
        AND (c.relname = ANY (%(strict)s) OR (c.relname = ANY (%(nullable)s) AND NOT i.indisprimary))
"""

_REFERENCES = """
    SELECT k.conrelid::regclass || ': foreign key ' || k.conname || ' does not carry tenant_id'
    FROM pg_constraint AS k
    WHERE k.contype = 'f' AND k.conrelid::regclass::text = ANY (%(walled)s)
        AND k.confrelid::regclass::text = ANY (%(walled)s)
        AND NOT EXISTS (
            SELECT FROM unnest(k.conkey, k.confkey) AS pair (ours, theirs)
            JOIN pg_attribute AS o ON o.attrelid = k.conrelid AND o.attnum = pair.ours
            JOIN pg_attribute AS t ON t.attrelid = k.confrelid AND t.attnum = pair.theirs
            WHERE o.attname = 'tenant_id' AND t.attname IN ('tenant_id',
                CASE WHEN k.confrelid::regclass::text = %(registry)s THEN 'id' ELSE 'tenant_id' END))
"""

_VIEWS = """
    SELECT relname || ' is a view: it would show what its owner may see' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND (relkind = 'm' OR (relkind = 'v'
        AND NOT coalesce(reloptions @> ARRAY['security_invoker=true'], false)))
"""

_RIGHTS = """
    SELECT grantee || ' may ' || privilege_type || ' ' || table_name
    FROM information_schema.role_table_grants
    WHERE table_schema = 'public' AND grantee IN ('tradewinds_app', 'tradewinds_api', 'tradewinds_operator', 'PUBLIC')
        AND (privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
            OR (grantee = 'tradewinds_operator' AND privilege_type <> 'SELECT') OR grantee = 'PUBLIC')
"""

_OWNERS = """
    SELECT relname || ' belongs to ' || relowner::regrole FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND relowner::regrole::text <> 'tradewinds_owner'
"""

_DOORS = """
    SELECT p.proname || ': a door with the rights of ' || p.proowner::regrole || ', path '
        || coalesce(p.proconfig::text, 'none') || ', rights ' || coalesce(p.proacl::text, 'everybody')
    FROM pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND NOT (
        p.proowner::regrole::text IN ('tradewinds_dispatcher', 'tradewinds_owner')
        AND coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false)
        AND NOT has_function_privilege('public', p.oid, 'EXECUTE'))
"""

_POWERS = """
    SELECT rolname || ' sees through every wall' FROM pg_roles
    WHERE rolname LIKE 'tradewinds%%' AND (rolsuper OR rolbypassrls)
"""


def tenant_tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table that has a tenant_id, by name."""
    return [str(row[0]) for row in connection.execute(_TENANT_TABLES)]


def holes(connection: psycopg.Connection[Any]) -> list[str]:
    """Every breach of the rules of tenancy that the catalogue shows, in words."""
    with_tenant = tenant_tables(connection)
    names = {
        "walled": [*with_tenant, REGISTRY],
        "strict": [name for name in with_tenant if name not in NULLABLE_TENANT],
        "nullable": sorted(NULLABLE_TENANT),
        "registry": REGISTRY,
        "own": OWN,
    }
    queries = (_UNFORCED, _OPEN_POLICIES, _KEYS, _REFERENCES, _VIEWS, _RIGHTS, _OWNERS, _DOORS, _POWERS)
    return [str(row[0]) for query in queries for row in connection.execute(query, names)]
