"""Which instruments are worth looking at: a chain of filters, and a ranking by opportunity and by open interest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from common.domain.market import Instrument, InstrumentStatus
from common.domain.money import ZERO, bps

MAJORS = (
    "BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "AVAX", "LINK", "DOT",
    "TRX", "LTC", "BCH", "UNI", "ATOM", "NEAR", "APT", "ARB", "OP", "SUI",
)  # fmt: skip
"""The pool where nothing has been ranked (A-20): twenty majors by base asset, those of them that the venue lists."""


class Cause(StrEnum):
    """Why an instrument is no candidate."""

    NOT_TRADING = "not_trading"
    NO_FIGURES = "no_figures"
    PRICE_TOO_COARSE = "price_too_coarse"
    SPREAD_TOO_WIDE = "spread_too_wide"
    TURNOVER_TOO_SMALL = "turnover_too_small"
    PRICE_IN_DOUBT = "price_in_doubt"
    NOT_EXAMINED = "not_examined"
    TOO_YOUNG = "too_young"
    TOO_QUIET = "too_quiet"
    TOO_WILD = "too_wild"
    INTEREST_TOO_SMALL = "interest_too_small"


@dataclass(frozen=True, slots=True)
class CandidateLimits:
    """The filters' limits and the sizes of the ranking; money in the settle asset.

    `examined_max` bounds what one refresh asks the venue for: the instruments with the largest turnover (A-78).
    """

    tick_bps_max: Decimal = Decimal(20)
    spread_bps_max: Decimal = Decimal(30)
    turnover_min: Decimal = Decimal(1_000_000)
    deviation_bps_max: Decimal = Decimal(500)
    age_min: timedelta = timedelta(days=3)
    day_range_min: Decimal = Decimal("0.003")
    day_range_max: Decimal = Decimal("0.75")
    open_interest_min: Decimal = Decimal(15_000_000)
    examined_max: int = 80
    score_top: int = 20
    interest_top: int = 20
    pool_max: int = 40


@dataclass(frozen=True, slots=True)
class Figures:
    """A day of an instrument as its venue tells it; `turnover` of 24 hours in the quote asset, None where not told."""

    symbol: str
    last: Decimal | None
    bid: Decimal | None
    ask: Decimal | None
    turnover: Decimal | None


@dataclass(frozen=True, slots=True)
class Examined:
    """An instrument with all that is known of it; None = unknown or not asked for.

    `deviation_bps` is how far the price is from an aggregator's, `day_range` the last day's highest over its lowest
    price less one, `score` the opportunity score (0..80), `open_interest` and `market_cap` are money.
    """

    instrument: Instrument
    figures: Figures | None = None
    deviation_bps: Decimal | None = None
    market_cap: Decimal | None = None
    age: timedelta | None = None
    day_range: Decimal | None = None
    open_interest: Decimal | None = None
    score: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A refusal with its numbers."""

    cause: Cause
    measured: Decimal
    limit: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """What became of an instrument at a refresh: `rank` from 1 in the pool, or why it is not in it.

    Both are None for what passed every filter and stands behind the first of either ranking.
    """

    venue: str
    symbol: str
    rank: int | None
    excluded: Exclusion | None
    score: Decimal | None
    open_interest: Decimal | None
    turnover: Decimal | None
    market_cap: Decimal | None
    refreshed_at: datetime


Filter = Callable[[Examined, CandidateLimits], Exclusion | None]


def trading(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """The venue trades it."""
    is_out = item.instrument.status is not InstrumentStatus.TRADING
    return Exclusion(Cause.NOT_TRADING, ZERO, Decimal(1), item.instrument.status.value) if is_out else None


def told(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """The venue tells a price and a turnover."""
    known = item.figures
    is_told = known is not None and known.last is not None and known.last > ZERO and known.turnover is not None
    return None if is_told else Exclusion(Cause.NO_FIGURES, ZERO, Decimal(1), "figures")


def precision(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """One tick is a small part of the price: else stops and targets are where the grid wants them."""
    last = item.figures.last if item.figures else None
    if not last:
        return None
    measured = bps(item.instrument.tick_size, last)
    is_out = measured > limits.tick_bps_max
    return Exclusion(Cause.PRICE_TOO_COARSE, measured, limits.tick_bps_max, "bps") if is_out else None


def spread(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """The best ask is near the best bid; not judged where the venue tells neither."""
    known = item.figures
    if known is None or not known.bid or not known.ask:
        return None
    measured = bps(known.ask - known.bid, (known.ask + known.bid) / 2)
    is_out = measured > limits.spread_bps_max
    return Exclusion(Cause.SPREAD_TOO_WIDE, measured, limits.spread_bps_max, "bps") if is_out else None


def turnover(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """Enough has been traded in 24 hours."""
    measured = item.figures.turnover if item.figures and item.figures.turnover is not None else ZERO
    is_out = measured < limits.turnover_min
    return Exclusion(Cause.TURNOVER_TOO_SMALL, measured, limits.turnover_min, _unit(item)) if is_out else None


def doubt(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """The price is near the aggregator's; not judged where that is unknown."""
    measured = item.deviation_bps
    if measured is None or measured <= limits.deviation_bps_max:
        return None
    return Exclusion(Cause.PRICE_IN_DOUBT, measured, limits.deviation_bps_max, "bps")


def age(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """It has traded for a while."""
    measured, least = _days(item.age or timedelta(0)), _days(limits.age_min)
    return Exclusion(Cause.TOO_YOUNG, measured, least, "days") if measured < least else None


def volatility(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """Its last day moved, and not beyond measure; not judged without candles."""
    measured = item.day_range
    if measured is None:
        return None
    if measured < limits.day_range_min:
        return Exclusion(Cause.TOO_QUIET, measured, limits.day_range_min, "fraction")
    return (
        Exclusion(Cause.TOO_WILD, measured, limits.day_range_max, "fraction")
        if measured > limits.day_range_max
        else None
    )


def interest(item: Examined, limits: CandidateLimits) -> Exclusion | None:
    """Enough is held open in it (A-22); not judged where there is no such thing, as on a spot venue."""
    measured = item.open_interest
    if measured is None or measured >= limits.open_interest_min:
        return None
    return Exclusion(Cause.INTEREST_TOO_SMALL, measured, limits.open_interest_min, _unit(item))


FROM_FIGURES: tuple[Filter, ...] = (trading, told, precision, spread, turnover, doubt)
"""What can be judged by what one or two requests tell of all instruments."""

FROM_EXAMINATION: tuple[Filter, ...] = (age, volatility, interest)
"""What takes requests of its own for each instrument."""


def first_objection(item: Examined, limits: CandidateLimits, chain: Iterable[Filter]) -> Exclusion | None:
    """The first refusal of a chain of filters."""
    return next((found for judge in chain if (found := judge(item, limits)) is not None), None)


def ranked(passed: Sequence[Examined], limits: CandidateLimits) -> list[str]:
    """Symbols of the pool, the best first: the top by opportunity, then the top by open interest, each once (A-21).

    Equal scores are told apart by market cap, turnover and name.
    """
    by_score = sorted(
        (item for item in passed if item.score is not None), key=lambda item: (-(item.score or ZERO), *_size(item))
    )
    held = (item for item in passed if item.open_interest is not None)
    by_interest = sorted(held, key=lambda item: (-(item.open_interest or ZERO), *_size(item)))
    chosen = [*by_score[: limits.score_top], *by_interest[: limits.interest_top]]
    return list(dict.fromkeys(item.instrument.symbol for item in chosen))[: limits.pool_max]


def default_pool(instruments: Iterable[Instrument]) -> list[str]:
    """The majors that trade, in the order of MAJORS; the pool before anything has been ranked."""
    trades = [item for item in instruments if item.status is InstrumentStatus.TRADING and item.base in MAJORS]
    return [item.symbol for item in sorted(trades, key=lambda item: (MAJORS.index(item.base), item.symbol))]


def _size(item: Examined) -> tuple[Decimal, Decimal, str]:
    traded = item.figures.turnover if item.figures and item.figures.turnover is not None else ZERO
    return -(item.market_cap or ZERO), -traded, item.instrument.symbol


def _unit(item: Examined) -> str:
    return item.instrument.settle


def _days(span: timedelta) -> Decimal:
    return (Decimal(span // timedelta(minutes=1)) / 1440).quantize(Decimal("0.01"))
