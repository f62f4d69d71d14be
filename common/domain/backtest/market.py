"""What a backtest trades on: candles, funding rates, and the assumptions for all that candles do not tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from common.domain import features
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.market import EPOCH, Instrument, Level, MarketState, OrderBook
from common.domain.money import BPS, ONE, ZERO, ceil_to, floor_to
from common.domain.signal import Side
from common.domain.strategies.base import exact

Times = npt.NDArray[np.int64]
Bars = npt.NDArray[np.intp]

GAP_BARS = 20
"""Bars before a signal in which a missing candle is a data gap."""

MEDIAN_BARS = 100
"""Bars of the median that the ATR is compared with."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """The candle model of execution; every figure makes results worse, never better.

    `spread_bps` is the whole spread of the book assumed at a close. Market fills pay `slippage_bps` beyond the open, stop
    or target they fill at, and the part of the bar's adverse range that `latency` is of the bar. `depth_share` of a mean
    bar's volume lies on each of `depth_levels` levels (None: as deep as the venue's largest order); an entry takes at most
    `participation` of the volume of the bar it fills in, the rest is cancelled (None: all of it fills). With
    `gaps_are_outages` a missing candle means that the venue was down and not that data is missing: the signal before it
    fills at the first open after it.
    """

    spread_bps: Decimal = Decimal(1)
    slippage_bps: Decimal = Decimal(1)
    latency: timedelta = timedelta(0)
    depth_share: Decimal | None = Decimal("0.05")
    depth_levels: int = 5
    participation: Decimal | None = Decimal("0.1")
    gaps_are_outages: bool = False


FRICTIONLESS = Assumptions(
    spread_bps=ZERO, slippage_bps=ZERO, depth_share=None, participation=None, gaps_are_outages=True
)
"""Fills at the very prices of the candles, as the peer engines of the reference strategy assume."""


@dataclass(frozen=True, slots=True)
class FundingRates:
    """Funding of a perpetual: `rates` (fraction of notional, longs pay when positive) due at `due_at` ms, ascending."""

    due_at: Times
    rates: Series


@lru_cache(maxsize=1024)
def moment(at_ms: int) -> datetime:
    """The moment `at_ms` milliseconds after 1970; the same one is asked for many times in a row."""
    return EPOCH + timedelta(milliseconds=at_ms)


class BacktestMarket:
    """One instrument's closed candles and what the judges would have known at the close of each.

    Raises InvalidInput when the candles are not in strictly ascending order of time.
    """

    def __init__(self, instrument: Instrument, columns: Columns, funding: FundingRates | None = None) -> None:
        if len(columns) > 1 and not bool((np.diff(columns.opened_at) > 0).all()):
            raise InvalidInput("candles", instrument.symbol, "candles in ascending order of time, each once")
        self.instrument = instrument
        self.columns = columns
        self.funding = funding
        self.step_ms = columns.timeframe.seconds * 1000

    def __len__(self) -> int:
        return len(self.columns)

    def opened_at(self, bar: int) -> datetime:
        """When `bar` opened."""
        return moment(self.columns.opened_at.item(bar))

    def closed_at(self, bar: int) -> datetime:
        """When `bar` closed."""
        return self.opened_at(bar) + self.columns.timeframe.duration

    @cached_property
    def atr(self) -> Series:
        """ATR 14 at every bar, price units."""
        return features.compute(("atr_14",), self.columns)["atr_14"]

    @cached_property
    def volume_mean(self) -> Series:
        """Mean volume of the last 20 bars at every bar."""
        return features.compute(("volume_mean_20",), self.columns)["volume_mean_20"]

    @cached_property
    def volume_ratio(self) -> Series:
        """Volume over its mean of 20 bars at every bar."""
        known = {"volume_mean_20": self.volume_mean}
        return features.compute(("volume_ratio_20",), self.columns, known)["volume_ratio_20"]

    def atr_medians(self, bars: Bars) -> Series:
        """Median of the ATR over the 100 bars up to each of `bars`; NaN without all of them."""
        medians: Series = np.median(self._atr_windows(bars), axis=1)
        return np.where(bars >= MEDIAN_BARS - 1, medians, np.nan)

    def atr_least(self, bars: Bars) -> Series:
        """Least of the ATR over the same bars; NaN without all of them."""
        least: Series = self._atr_windows(bars).min(axis=1)
        return np.where(bars >= MEDIAN_BARS - 1, least, np.nan)

    def _atr_windows(self, bars: Bars) -> Series:
        windows: Series = self.atr[np.clip(bars[:, None] + np.arange(1 - MEDIAN_BARS, 1), 0, None)]
        return windows

    def gaps(self, bars: Bars, assumptions: Assumptions) -> npt.NDArray[np.bool_]:
        """Whether a candle is missing within the 20 bars up to each of `bars`."""
        if assumptions.gaps_are_outages:
            return np.zeros(np.asarray(bars).shape, dtype=np.bool_)
        first = np.maximum(np.asarray(bars) - (GAP_BARS - 1), 0)
        opened = self.columns.opened_at
        whole: npt.NDArray[np.bool_] = opened[bars] - opened[first] != (bars - first) * self.step_ms
        return whole

    def best(self, bar: int, assumptions: Assumptions) -> tuple[Decimal, Decimal]:
        """(best bid, best ask) assumed at the close of `bar`."""
        return self.around(exact(self.columns.close.item(bar)), assumptions)

    def around(self, close: Decimal, assumptions: Assumptions) -> tuple[Decimal, Decimal]:
        """(best bid, best ask) assumed at a close: the spread around it, a tick at least."""
        tick = self.instrument.tick_size
        half = assumptions.spread_bps / BPS / 2
        bid = max(tick, floor_to(close * (ONE - half), tick))
        ask = ceil_to(close * (ONE + half), tick)
        return bid, ask if ask > bid else bid + tick

    def book(self, bar: int, assumptions: Assumptions) -> OrderBook:
        """The book assumed at the close of `bar`: levels a tick apart, from the best prices outwards."""
        bid, ask = self.best(bar, assumptions)
        tick, quantity = self.instrument.tick_size, self.level_quantity(bar, assumptions)
        count = range(assumptions.depth_levels)
        bids = tuple(Level(bid - number * tick, quantity) for number in count if bid > number * tick)
        return OrderBook(bids, tuple(Level(ask + number * tick, quantity) for number in count), self.closed_at(bar))

    def level_quantity(self, bar: int, assumptions: Assumptions) -> Decimal:
        """Base units assumed on each level of the book at the close of `bar`, on the step."""
        if assumptions.depth_share is None:
            return self.instrument.max_quantity
        mean = self.volume_mean[bar]
        volume = exact(mean) if np.isfinite(mean) else ZERO
        return floor_to(volume * assumptions.depth_share, self.instrument.step_size)

    def funding_rate(self, at_ms: int) -> Decimal | None:
        """The rate that is due next after `at_ms`; None where none is known."""
        if self.funding is None:
            return None
        place = int(np.searchsorted(self.funding.due_at, at_ms, side="right"))
        return exact(self.funding.rates[place]) if place < self.funding.due_at.size else None

    def state(self, bar: int, assumptions: Assumptions) -> MarketState:
        """What the judges are shown at the close of `bar`."""
        now, at = self.closed_at(bar), np.array([bar])
        close = exact(self.columns.close[bar])
        return MarketState(
            instrument=self.instrument,
            book=self.book(bar, assumptions),
            last=close,
            mark=close,
            quote_at=now,
            funding_rate=self.funding_rate(int(self.columns.opened_at[bar]) + self.step_ms),
            atr=_known(self.atr[bar]),
            atr_median=_known(self.atr_medians(at)[0]),
            volume_ratio=_known(self.volume_ratio[bar]),
            candle_closed_at=now,
            has_gap=bool(self.gaps(at, assumptions)[0]),
        )

    def funding_paid(self, side: Side, quantity: Decimal, after_ms: int, until_ms: int) -> Decimal:
        """Funding of a position of `quantity` held after `after_ms` and until `until_ms`; negative when paid.

        Each payment is quantity x the last close x rate, paid by longs when the rate is positive.
        """
        if self.funding is None:
            return ZERO
        first, last = np.searchsorted(self.funding.due_at, (after_ms, until_ms), side="right")
        total = ZERO
        for number in range(int(first), int(last)):
            due = int(self.funding.due_at[number])
            bar = int(np.searchsorted(self.columns.opened_at, due - self.step_ms, side="right")) - 1
            mark = exact(self.columns.close[max(bar, 0)])
            total -= side.sign * quantity * mark * exact(self.funding.rates[number])
        return total

    def fill_price(self, bar: int, price: Decimal, side: Side, opens: bool, assumptions: Assumptions) -> Decimal:
        """`price` as an order gets it in `bar`: moved against it by slippage and latency, on the tick.

        `side` is the position's; `opens` is True for its entry.
        """
        sign = side.sign if opens else -side.sign
        worse = assumptions.slippage_bps / BPS
        moved = price * (ONE + sign * worse) if worse else price
        if assumptions.latency:
            edge = exact(self.columns.high[bar] if sign > 0 else self.columns.low[bar])
            share = min(ONE, exact(assumptions.latency / self.columns.timeframe.duration))
            moved += max(ZERO, (edge - price) * sign) * share * sign
        if moved == price:
            return price
        tick = self.instrument.tick_size
        return ceil_to(moved, tick) if sign > 0 else max(tick, floor_to(moved, tick))

    def fillable(self, bar: int, quantity: Decimal, assumptions: Assumptions) -> Decimal:
        """How much of `quantity` an order gets in `bar`."""
        if assumptions.participation is None:
            return quantity
        offered = exact(self.columns.volume[bar]) * assumptions.participation
        return min(quantity, floor_to(offered, self.instrument.step_size))


def _known(value: float) -> Decimal | None:
    return exact(value) if np.isfinite(value) else None


def with_fees(instrument: Instrument, maker: Decimal, taker: Decimal) -> Instrument:
    """`instrument` at other fees (fractions of notional)."""
    return replace(instrument, maker_fee=maker, taker_fee=taker)
