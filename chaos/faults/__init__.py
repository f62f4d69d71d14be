"""Every kind of fault: where it strikes, how it is brought about, and how it ends by itself or is healed."""

from chaos.faults import deliveries, market, people, processes, requests, servers, streams
from chaos.faults.kind import KINDS, Kind

__all__ = ["KINDS", "Kind", "deliveries", "market", "people", "processes", "requests", "servers", "streams"]
