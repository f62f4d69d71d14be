#!/bin/sh
# Run once by the postgres image, when the data directory is new: the login of the fleet, which owns nothing and is no
# superuser, so that row-level security holds for it. Its password is not the owner's. What it may do, migrations grant.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --quiet <<'SQL'
\set password `cat /run/secrets/postgres_password`
CREATE ROLE tradewinds LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'password';
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL
