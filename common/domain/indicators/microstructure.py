"""Microstructure: what an order book and a trade tape say about the next moment; candles cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from common.domain.indicators.series import Series, ratio
from common.domain.market import Level, OrderBook
from common.domain.money import ZERO


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of the tape; `is_buy` when the buyer took."""

    price: Decimal
    quantity: Decimal
    is_buy: bool
    occurred_at: datetime


def _volume(levels: Sequence[Level]) -> Decimal:
    return sum((level.quantity for level in levels), ZERO)


def imbalance(book: OrderBook, depth: int = 5) -> float | None:
    """(bid volume - ask volume) / their sum over the best `depth` levels, -1..+1; None on an empty book (B-07)."""
    bids, asks = _volume(book.bids[:depth]), _volume(book.asks[:depth])
    return float((bids - asks) / (bids + asks)) if bids + asks else None


def queue_pressure(book: OrderBook, depth: int = 10) -> float | None:
    """Imbalance of the best `depth` levels weighted by 1 / (1 + 100 x distance from mid), -1..+1 (B-12).

    The distance is a fraction of the middle price; None while a side is empty.
    """
    mid = book.mid
    if mid is None:
        return None
    bids, asks = (
        sum(float(level.quantity) / (1.0 + 100.0 * float(abs(level.price - mid) / mid)) for level in side[:depth])
        for side in (book.bids, book.asks)
    )
    return (bids - asks) / (bids + asks) if bids + asks else None


def depth(book: OrderBook, levels: int = 5) -> tuple[Decimal, Decimal]:
    """(bid volume, ask volume) of the best `levels` levels, in base units."""
    return _volume(book.bids[:levels]), _volume(book.asks[:levels])


def tape_vwap(trades: Sequence[Trade]) -> Decimal | None:
    """Mean price of `trades` weighted by quantity; None when there are none (B-08)."""
    traded = sum((trade.quantity for trade in trades), ZERO)
    return sum((trade.price * trade.quantity for trade in trades), ZERO) / traded if traded else None


def tape_velocity(trades: Sequence[Trade], now: datetime, span: timedelta) -> float:
    """Trades per second in the `span` before `now` (B-08)."""
    return sum(now - span < trade.occurred_at <= now for trade in trades) / span.total_seconds()


def volume_imbalance(trades: Sequence[Trade]) -> float | None:
    """(bought - sold) / traded quantity of `trades`, -1..+1; None when there are none (B entry score)."""
    bought = sum((trade.quantity for trade in trades if trade.is_buy), ZERO)
    traded = sum((trade.quantity for trade in trades), ZERO)
    return float((2 * bought - traded) / traded) if traded else None


def unknown(close: Series) -> Series:
    """NaN for every bar: what nobody observed is not known, and never zero."""
    return np.full(close.shape, np.nan)


def percent(bps: Series) -> Series:
    """Basis points as per cent."""
    return bps / 100.0


def same(values: Series) -> Series:
    """The values under another name."""
    return values


def basis_bps(mark: Series, mid: Series) -> Series:
    """How far the mark price lies above the middle of the book, in basis points of the middle."""
    return 10_000.0 * ratio(mark - mid, mid)
