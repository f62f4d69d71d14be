"""Markets as the fleet sees them: instruments, timeframes, candles, books and the state of the market right now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from common.domain.errors import InvalidInput
from common.domain.money import ZERO

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """Length of a candle, written as venues write it: `1m`, `5m`, `4h`, `1d`."""

    seconds: int

    @classmethod
    def parse(cls, text: str) -> Timeframe:
        """Timeframe of `text`; raises InvalidInput when it is not digits followed by m, h or d."""
        digits, unit = text[:-1], text[-1:]
        if not digits.isdigit() or unit not in _UNITS or int(digits) == 0:
            raise InvalidInput("timeframe", text, "a number followed by m, h or d, such as 5m or 4h")
        return cls(int(digits) * _UNITS[unit])

    def __str__(self) -> str:
        for unit in ("d", "h", "m"):
            if self.seconds % _UNITS[unit] == 0:
                return f"{self.seconds // _UNITS[unit]}{unit}"
        raise InvalidInput("timeframe", self.seconds, "a whole number of minutes")

    @property
    def duration(self) -> timedelta:
        """Length as a timedelta."""
        return timedelta(seconds=self.seconds)

    def floor(self, instant: datetime) -> datetime:
        """Opening time of the candle that holds `instant`; candles are aligned to the Unix epoch, UTC."""
        elapsed = (instant - EPOCH) // timedelta(seconds=1)
        return EPOCH + timedelta(seconds=elapsed - elapsed % self.seconds)


class InstrumentStatus(StrEnum):
    """Whether an instrument may be traded at its venue."""

    TRADING = "trading"
    HALTED = "halted"
    DELISTED = "delisted"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable market of a venue, with its grid and filters in exact decimals.

    `symbol` is the unified name (`BTC/USDT:USDT`); quantities are in the base asset, prices and notionals in `settle`.
    """

    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    tick_size: Decimal
    step_size: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    max_leverage: int
    maker_fee: Decimal
    taker_fee: Decimal
    maintenance_margin: Decimal = Decimal("0.005")
    status: InstrumentStatus = InstrumentStatus.TRADING


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed candle: `opened_at` inclusive, `closed_at` exclusive (the next candle's opening), exact decimals."""

    opened_at: datetime
    closed_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def check(self) -> Candle:
        """The candle itself when it can be true; raises InvalidInput naming the first field that cannot."""
        for field in ("open", "high", "low", "close"):
            value: Decimal = getattr(self, field)
            if not value.is_finite() or value <= ZERO:
                raise InvalidInput(f"candle.{field}", str(value), "a finite price above zero")
        if not self.volume.is_finite() or self.volume < ZERO:
            raise InvalidInput("candle.volume", str(self.volume), "a finite volume, zero or more")
        if self.high < max(self.open, self.close, self.low):
            raise InvalidInput("candle.high", str(self.high), "the highest of the four prices")
        if self.low > min(self.open, self.close):
            raise InvalidInput("candle.low", str(self.low), "the lowest of the four prices")
        if self.closed_at <= self.opened_at:
            raise InvalidInput("candle.closed_at", self.closed_at.isoformat(), "a time after opened_at")
        return self


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a book: price in the quote asset, quantity in the base asset."""

    price: Decimal
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class OrderBook:
    """Best levels first on both sides, as of `occurred_at` at the venue."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    occurred_at: datetime

    @property
    def mid(self) -> Decimal | None:
        """Middle of best bid and best ask; None while a side is empty."""
        if not self.bids or not self.asks:
            return None
        return (self.bids[0].price + self.asks[0].price) / 2

    @property
    def spread_bps(self) -> Decimal | None:
        """Best ask less best bid, in basis points of the middle; None while a side is empty."""
        mid = self.mid
        if mid is None:
            return None
        return (self.asks[0].price - self.bids[0].price) / mid * 10_000


def walk(levels: Sequence[Level], quantity: Decimal) -> tuple[Decimal, Decimal]:
    """(average price, quantity obtainable up to `quantity`) when taking `levels` in order; average 0 on no levels."""
    left, cost = quantity, ZERO
    for level in levels:
        taken = min(left, level.quantity)
        cost += taken * level.price
        left -= taken
        if left <= 0:
            break
    obtained = quantity - max(left, ZERO)
    return (cost / obtained if obtained else ZERO), obtained


@dataclass(frozen=True, slots=True)
class MarkPrice:
    """The mark price of an instrument and the funding that comes next; None where the venue did not say.

    `funding_rate` is a fraction per interval (positive: longs pay).
    """

    mark: Decimal | None
    funding_rate: Decimal | None = None
    next_funding_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MarketState:
    """What is known of one instrument's market at the moment of a decision; None where the venue did not say.

    `atr` is in price units, `atr_median` its median over 100 candles, `volume_ratio` the last closed candle's volume over
    the average, `funding_rate` a fraction per interval (positive: longs pay), `news_impact` low, high or critical.
    """

    instrument: Instrument
    book: OrderBook | None
    last: Decimal | None
    mark: Decimal | None
    quote_at: datetime | None
    funding_rate: Decimal | None = None
    next_funding_at: datetime | None = None
    atr: Decimal | None = None
    volume_ratio: Decimal | None = None
    candle_closed_at: datetime | None = None
    has_gap: bool = False
    venue_healthy: bool = True
    news_impact: str | None = None
    atr_median: Decimal | None = None
