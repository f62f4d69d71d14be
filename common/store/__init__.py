"""Postgres: the only room that speaks SQL."""

from common.domain.features import Columns as CandleColumns
from common.store.accounting import KeptStatement
from common.store.audit import AuditEntry, AuditHead
from common.store.flattenings import Flattening
from common.store.jobs import StageDepth
from common.store.leader import Leases
from common.store.market import Revision, Told
from common.store.migrate import migrate
from common.store.operator import FleetCounts, MissingOutcome, OperatorView, Protection, TenantProfit, VenueAccount
from common.store.risk import HeldReservation
from common.store.store import RoleName, Store, Timeouts
from common.store.tenants import Balance, Wanted
from common.store.uow import UnitOfWork
from common.store.watch import Bearer, EquitySnapshot, Heartbeat, QuarantinedOrder

__all__ = [
    "AuditEntry",
    "AuditHead",
    "Balance",
    "Bearer",
    "CandleColumns",
    "EquitySnapshot",
    "Flattening",
    "FleetCounts",
    "Heartbeat",
    "HeldReservation",
    "KeptStatement",
    "Leases",
    "MissingOutcome",
    "OperatorView",
    "Protection",
    "QuarantinedOrder",
    "Revision",
    "RoleName",
    "StageDepth",
    "Store",
    "TenantProfit",
    "Timeouts",
    "Told",
    "UnitOfWork",
    "VenueAccount",
    "Wanted",
    "migrate",
]
