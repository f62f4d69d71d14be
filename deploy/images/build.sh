#!/bin/sh
# Builds local stand-ins of the server images under the names the compose file asks for. For tests and for engines that
# cannot pull; a deployment pulls the real ones.
set -eu
cd "$(dirname "$0")/../.."
docker build -f deploy/images/postgres/Dockerfile -t "${TRADEWINDS_POSTGRES_IMAGE:-postgres:18.4-trixie}" .
docker build -f deploy/images/valkey/Dockerfile -t "${TRADEWINDS_REDIS_IMAGE:-valkey/valkey:9.1.2}" .
