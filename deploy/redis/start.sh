#!/bin/sh
# Starts the server with a configuration that is nowhere on disk, because the password is part of it.
# It carries doorbell rings only: the jobs are in Postgres. So it appends to a log, never evicts, and its one user cannot
# empty it, reconfigure it or stop it.
set -eu
password=$(cat /run/secrets/redis_password)
[ -n "$password" ] || { echo "/run/secrets/redis_password is empty" >&2; exit 1; }
exec valkey-server - <<CONFIGURATION
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory 512mb
maxmemory-policy noeviction
tcp-keepalive 60
user default on >$password ~* &* +@all -@dangerous +info +config|get
CONFIGURATION
