"""The one room that speaks ccxt."""

from common.adapters.ccxt_venue.account_stream import CcxtAccountStream, Markets
from common.adapters.ccxt_venue.capabilities import CAPABILITIES, Capability, build_of, capability
from common.adapters.ccxt_venue.client import Connection
from common.adapters.ccxt_venue.figures import CcxtFigures
from common.adapters.ccxt_venue.guard import Guard
from common.adapters.ccxt_venue.market_data import CcxtMarketData
from common.adapters.ccxt_venue.market_stream import CcxtMarketStream
from common.adapters.ccxt_venue.pacing import BrokeredPace, Crowded, Pace, Pacer
from common.adapters.ccxt_venue.personalities import practice_capability
from common.adapters.ccxt_venue.stream import CcxtStream
from common.adapters.ccxt_venue.venue import CcxtVenue

__all__ = [
    "CAPABILITIES",
    "BrokeredPace",
    "Capability",
    "CcxtAccountStream",
    "CcxtFigures",
    "CcxtMarketData",
    "CcxtMarketStream",
    "CcxtStream",
    "CcxtVenue",
    "Connection",
    "Crowded",
    "Guard",
    "Markets",
    "Pace",
    "Pacer",
    "build_of",
    "capability",
    "practice_capability",
]
