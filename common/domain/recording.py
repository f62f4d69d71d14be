"""Recorded candles: which there are, what is missing in them, and the instrument they are traded as in a backtest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from common.domain.market import EPOCH, Instrument, Timeframe

SPOT_FEE = Decimal("0.001")
PERPETUAL_MAKER, PERPETUAL_TAKER = Decimal("0.0002"), Decimal("0.0005")
PERPETUAL_LEVERAGE = 50
_LARGEST = Decimal(1_000_000_000)
_LEAST_NOTIONAL = Decimal(5)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Recording:
    """One file or stored series of candles: `name` says which, `expected` how many rows its catalogue promises."""

    venue: str
    symbol: str
    timeframe: Timeframe
    name: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Candles that are not there: `missing` of them, from the opening of the first (`first`) to that of the last."""

    first: datetime
    last: datetime
    missing: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a recording holds: opening times of its first and last candle, and its gaps, oldest first.

    `listed_late_by` and `ended_early_by` compare it with the others of its group (`compared`); None where it does not
    differ. `misplaced` counts candles that open off the timeframe's grid, twice, or before their predecessor.
    """

    recording: Recording
    candles: int
    first: datetime | None
    last: datetime | None
    gaps: tuple[Gap, ...]
    misplaced: int
    listed_late_by: timedelta | None = None
    ended_early_by: timedelta | None = None

    @property
    def missing(self) -> int:
        """Candles missing in all gaps."""
        return sum(gap.missing for gap in self.gaps)

    @property
    def is_as_promised(self) -> bool:
        """Whether it has as many rows as its catalogue says; True without a catalogue."""
        return self.recording.expected is None or self.recording.expected == self.candles


def coverage(recording: Recording, opened_at: npt.NDArray[np.int64]) -> Coverage:
    """What a recording with candles opened at `opened_at` (ms since 1970 UTC, in the recording's order) holds."""
    step = recording.timeframe.seconds * 1000
    if not opened_at.size:
        return Coverage(recording, 0, None, None, (), 0)
    steps = np.diff(opened_at)
    places = np.flatnonzero(steps > step)
    gaps = tuple(
        Gap(_instant(before + step), _instant(after - step), int(after - before) // step - 1)
        for before, after in zip(opened_at[places].tolist(), opened_at[places + 1].tolist(), strict=True)
        if after - before >= 2 * step
    )
    misplaced = int((opened_at % step != 0).sum() + (steps <= 0).sum())
    first, last = _instant(int(opened_at.min())), _instant(int(opened_at.max()))
    return Coverage(recording, int(opened_at.size), first, last, gaps, misplaced)


def holes(opened_at: npt.NDArray[np.int64], timeframe: Timeframe, since: datetime, until: datetime) -> tuple[Gap, ...]:
    """What is not there of `timeframe` from `since` up to `until`, both on its grid, beside candles opened at `opened_at`.

    Unlike the gaps of `coverage`, what is missing before the first candle and after the last one counts as well.
    """
    step = timeframe.seconds * 1000
    first, end = (since - EPOCH) // _MS, (until - EPOCH) // _MS
    inside = opened_at[(opened_at >= first) & (opened_at < end)]
    edges = np.concatenate((np.array([first - step]), np.sort(inside), np.array([end])))
    places = np.flatnonzero(np.diff(edges) > step)
    return tuple(
        Gap(_instant(before + step), _instant(after - step), (after - before) // step - 1)
        for before, after in zip(edges[places].tolist(), edges[places + 1].tolist(), strict=True)
    )


def _instant(ms: int) -> datetime:
    return EPOCH + ms * _MS


def compared(found: Iterable[Coverage], tolerance: timedelta = timedelta(days=1)) -> list[Coverage]:
    """Each of one group with how much later than the first of them it begins, and earlier than the last it ends."""
    group = list(found)
    firsts = [item.first for item in group if item.first is not None]
    lasts = [item.last for item in group if item.last is not None]
    if not firsts or not lasts:
        return group
    first, last = min(firsts), max(lasts)
    return [
        replace(
            item,
            listed_late_by=_beyond(item.first - first, tolerance) if item.first else None,
            ended_early_by=_beyond(last - item.last, tolerance) if item.last else None,
        )
        for item in group
    ]


def by_listing(found: Iterable[Coverage], tolerance: timedelta = timedelta(days=1)) -> list[Coverage]:
    """Each without its late listing or early end where another timeframe of the same market began earlier or went on.

    Then the market was there; only this series of it was not kept.
    """
    items = list(found)
    firsts: dict[tuple[str, str], list[datetime]] = {}
    lasts: dict[tuple[str, str], list[datetime]] = {}
    for item in items:
        market = (item.recording.venue, item.recording.symbol)
        firsts.setdefault(market, []).extend([item.first] if item.first else [])
        lasts.setdefault(market, []).extend([item.last] if item.last else [])
    return [
        replace(
            item,
            listed_late_by=item.listed_late_by if item.first and item.first - min(before) <= tolerance else None,
            ended_early_by=item.ended_early_by if item.last and max(after) - item.last <= tolerance else None,
        )
        for item in items
        for before in [firsts[item.recording.venue, item.recording.symbol]]
        for after in [lasts[item.recording.venue, item.recording.symbol]]
    ]


def _beyond(distance: timedelta, tolerance: timedelta) -> timedelta | None:
    return distance if distance > tolerance else None


def traded_as(venue: str, symbol: str, price_decimals: int, quantity_decimals: int) -> Instrument:
    """The instrument a backtest trades where only candles are known: their digits are its grid.

    A symbol that names a settle asset (`XRP/USDT:USDT`) is a perpetual; fees are Binance's for its first tier.
    """
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    is_perpetual = bool(settle)
    step = Decimal(1).scaleb(-quantity_decimals)
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=base,
        quote=quote,
        settle=settle or quote,
        tick_size=Decimal(1).scaleb(-price_decimals),
        step_size=step,
        min_quantity=step,
        max_quantity=_LARGEST,
        min_notional=_LEAST_NOTIONAL if quote.startswith(("USD", "BUSD")) else Decimal(0),
        max_leverage=PERPETUAL_LEVERAGE if is_perpetual else 1,
        maker_fee=PERPETUAL_MAKER if is_perpetual else SPOT_FEE,
        taker_fee=PERPETUAL_TAKER if is_perpetual else SPOT_FEE,
    )


def chosen(recordings: Sequence[Recording], symbols: Sequence[str], timeframe: Timeframe | None) -> list[Recording]:
    """Those of `symbols` (all when none is named) and `timeframe`, in the order in which the symbols are named."""
    fitting = [item for item in recordings if timeframe is None or item.timeframe == timeframe]
    if not symbols:
        return fitting
    return [item for symbol in symbols for item in fitting if symbol in {item.symbol, item.symbol.partition(":")[0]}]
