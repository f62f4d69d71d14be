"""Market snapshots: what order book, tape and venue said of an instrument at the close of a candle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.domain.errors import InvalidInput
from common.domain.indicators import microstructure
from common.domain.indicators.microstructure import Trade
from common.domain.market import OrderBook
from common.domain.money import BPS

BOOK_DEPTH = 20
"""Levels of a side that are watched."""

TAPE_SPAN = timedelta(seconds=60)
"""The tape's features look back so far from the close."""

FIELDS = (
    "spread", "spread_bps", "mid", "imbalance", "queue_pressure", "bid_volume", "ask_volume", "tape_vwap",
    "tape_velocity", "volume_imbalance", "mark", "funding_rate", "open_interest",
)  # fmt: skip
"""What a snapshot tells, each the name of a feature and of a column."""


@dataclass(frozen=True, slots=True)
class MarketSnapshot:
    """The market of `symbol` at `closed_at`, from what had been observed up to `observed_at`; None = not known.

    `spread`, `mid`, `tape_vwap` and `mark` are prices; `bid_volume` and `ask_volume` base units of the best five levels;
    `open_interest` base units; `tape_velocity` trades a second over the last minute; `funding_rate` a fraction per
    interval (positive: longs pay); imbalances and pressure -1..+1. Raises InvalidInput when it was observed later than
    the close: what was not known then must not be told.
    """

    venue: str
    symbol: str
    closed_at: datetime
    observed_at: datetime
    spread: Decimal | None = None
    spread_bps: Decimal | None = None
    mid: Decimal | None = None
    imbalance: Decimal | None = None
    queue_pressure: Decimal | None = None
    bid_volume: Decimal | None = None
    ask_volume: Decimal | None = None
    tape_vwap: Decimal | None = None
    tape_velocity: Decimal | None = None
    volume_imbalance: Decimal | None = None
    mark: Decimal | None = None
    funding_rate: Decimal | None = None
    open_interest: Decimal | None = None

    def __post_init__(self) -> None:
        if self.observed_at > self.closed_at:
            raise InvalidInput("observed_at", self.observed_at.isoformat(), f"no later than {self.closed_at}")


def of_book(book: OrderBook) -> Mapping[str, Decimal | None]:
    """Spread, middle, imbalance, pressure and depth of `book`; None while a side is empty."""
    mid = book.mid
    bids, asks = microstructure.depth(book)
    spread = book.asks[0].price - book.bids[0].price if mid is not None else None
    return {
        "spread": spread,
        "spread_bps": _rounded(spread / mid * BPS) if spread is not None and mid else None,
        "mid": mid,
        "imbalance": _exact(microstructure.imbalance(book)),
        "queue_pressure": _exact(microstructure.queue_pressure(book)),
        "bid_volume": bids,
        "ask_volume": asks,
    }


def of_tape(trades: Sequence[Trade], closed_at: datetime) -> Mapping[str, Decimal | None]:
    """VWAP, velocity and volume imbalance of those of `trades` that happened in the TAPE_SPAN up to `closed_at`.

    A minute without trades has the velocity 0, and no price and no imbalance.
    """
    recent = [trade for trade in trades if closed_at - TAPE_SPAN < trade.occurred_at <= closed_at]
    vwap = microstructure.tape_vwap(recent)
    return {
        "tape_vwap": None if vwap is None else _rounded(vwap),
        "tape_velocity": _exact(microstructure.tape_velocity(recent, closed_at, TAPE_SPAN)),
        "volume_imbalance": _exact(microstructure.volume_imbalance(recent)),
    }


def _exact(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(repr(value))


def _rounded(value: Decimal) -> Decimal:
    # Quotients have no end; seventeen digits are what a float can tell apart.
    return Decimal(f"{value:.17g}")
