"""How to speak to the practice venue while it behaves like another: the wire is Binance USD-M's, names and rules are the other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from common.adapters.ccxt_venue.capabilities import Capability, capability
from common.domain.errors import NotFound

_TAKEN_OVER: Mapping[str, tuple[str, tuple[str, ...]]] = {
    # The id's field, form and scope are the other venue's row; what the wire itself settles stays Binance's.
    "binance-futures": ("binanceusdm", ()),
    "binance-spot": ("binance", ("duplicates",)),
    "bybit": ("bybit", ("id_length_max", "id_pattern", "duplicates", "visibility")),
    "hyperliquid": ("hyperliquid", ("id_length_max", "id_pattern", "id_is_hex", "duplicates", "refusal_codes")),
    "coinbase": (
        "coinbase",
        ("id_param", "id_length_max", "id_pattern", "find_param", "find_by_listing", "duplicates"),
    ),
}
_RENAMED: Mapping[str, Mapping[str, Any]] = {
    # ccxt's unified field is not the field these venues read: what it sends there is ignored.
    "bybit": {"id_param": "orderLinkId", "find_param": "orderLinkId", "id_wire": "orderLinkId"},
    "hyperliquid": {"id_param": "cloid", "find_param": "cloid", "id_wire": "cloid"},
}
NAMES = tuple(_TAKEN_OVER)


def practice_capability(personality: str) -> Capability:
    """The row by which the practice venue is spoken to in that personality; raises NotFound naming those there are."""
    if personality not in _TAKEN_OVER:
        raise NotFound("personality", personality, NAMES)
    venue, fields = _TAKEN_OVER[personality]
    other = capability(venue)
    changes: dict[str, Any] = {name: getattr(other, name) for name in fields} | dict(_RENAMED.get(personality, {}))
    return replace(capability("binanceusdm"), **changes)
