#!/bin/sh
# Run once by the postgres image, when the data directory is new: makes the two logins, neither of them a superuser.
# `tradewinds_migrator` may make the roles that own and act, `tradewinds` is the fleet's and owns nothing, so row-level
# security holds for it. Their passwords differ. Migrations grant what the fleet may do.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --quiet <<'SQL'
\set fleet `cat /run/secrets/postgres_password`
\set migrator `cat /run/secrets/postgres_owner_password`
CREATE ROLE tradewinds LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'fleet';
CREATE ROLE tradewinds_migrator LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB CREATEROLE PASSWORD :'migrator';
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SELECT format('ALTER DATABASE %I OWNER TO tradewinds_migrator', current_database()) \gexec
-- The superuser of the image has served: from here on it comes in by the socket inside the container only.
SELECT format('ALTER ROLE %I PASSWORD NULL', current_user) \gexec
SQL
