#!/bin/bash
# The part of the official image's contract that the compose project relies on: a new data directory is initialised with
# the owner of POSTGRES_USER, its password from POSTGRES_PASSWORD_FILE, the database POSTGRES_DB and the scripts of
# /docker-entrypoint-initdb.d, while the server listens on its socket only.
set -euo pipefail
[ "$1" = postgres ] || exec "$@"

sockets=/var/run/postgresql
initialise() {
  local password
  password=$(<"$POSTGRES_PASSWORD_FILE")
  [ -n "$password" ] || { echo "$POSTGRES_PASSWORD_FILE is empty" >&2; exit 1; }
  mkdir -p "$PGDATA"
  chmod 0700 "$PGDATA"
  # initdb asks for the name of its user, and compose may give a user that has none.
  if ! getent passwd "$(id -u)" >/dev/null; then
    printf 'postgres:x:%s:%s::%s:/bin/false\n' "$(id -u)" "$(id -g)" "$PGDATA" >/tmp/passwd
    printf 'postgres:x:%s:\n' "$(id -g)" >/tmp/group
    LD_PRELOAD=libnss_wrapper.so
    export LD_PRELOAD NSS_WRAPPER_PASSWD=/tmp/passwd NSS_WRAPPER_GROUP=/tmp/group
  fi
  # shellcheck disable=SC2086  # the arguments are words
  initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
  unset LD_PRELOAD
  printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" -w -o "-k $sockets -c listen_addresses=''" start
  export PGHOST=$sockets PGUSER=$POSTGRES_USER
  psql -v ON_ERROR_STOP=1 --dbname postgres --set "name=$POSTGRES_DB" <<<'CREATE DATABASE :"name";'
  local script
  for script in /docker-entrypoint-initdb.d/*.sh; do
    [ ! -e "$script" ] || { echo "running $script"; sh "$script"; }
  done
  unset PGHOST PGUSER
  pg_ctl --pgdata="$PGDATA" -m fast -w stop
}

[ -s "$PGDATA/PG_VERSION" ] || initialise
exec "$@" -k "$sockets" -c 'listen_addresses=*'
