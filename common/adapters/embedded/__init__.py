"""The embedded servers of `make up`: real Postgres and real Valkey from wheels, living and dying with their process."""

from common.adapters.embedded.nursery import Nursery
from common.adapters.embedded.postgres import EmbeddedPostgres, PostgresAddress, PostgresServer
from common.adapters.embedded.process import EmbeddedError, Identity, ManagedProcess, NotReady
from common.adapters.embedded.valkey import EmbeddedValkey, ValkeyAddress, ValkeyServer

__all__ = [
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedValkey",
    "Identity",
    "ManagedProcess",
    "NotReady",
    "Nursery",
    "PostgresAddress",
    "PostgresServer",
    "ValkeyAddress",
    "ValkeyServer",
]
