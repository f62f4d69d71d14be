"""Limits in layers: platform ceilings that no tenant can raise, named profiles, tenant settings inside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from common.domain.errors import InvalidInput, NotFound

Threshold = Decimal | int | timedelta

MAJORS = frozenset({"BTC", "ETH"})
"""Bases that count as majors where alternatives and majors have different limits (A-35, A-36)."""

CORRELATED = frozenset({"BTC", "ETH", "BNB"})
"""Bases that move together and may exclude one another (FS-39)."""

NEWS_RANKS = {"low": 1, "high": 2, "critical": 3}
"""Rank of a news impact; none is 0 and a word we do not know counts as critical."""


class Bound(StrEnum):
    """Whether a threshold caps what is measured (a lower one is tighter) or floors it (a higher one is tighter)."""

    MAX = "max"
    MIN = "min"


class Kind(StrEnum):
    """How a threshold is written: an exact decimal, a whole number, or a duration (seconds in settings)."""

    DECIMAL = "decimal"
    WHOLE = "whole"
    DURATION = "duration"


def _decimal(unit: str, source: str) -> dict[str, str]:
    return {"kind": Kind.DECIMAL, "unit": unit, "source": source}


def _whole(unit: str, source: str) -> dict[str, str]:
    return {"kind": Kind.WHOLE, "unit": unit, "source": source}


def _duration(source: str) -> dict[str, str]:
    return {"kind": Kind.DURATION, "unit": "seconds", "source": source}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every threshold of risk; None = not used. A name ends in `_max` (lower is tighter) or `_min` (higher is tighter).

    "x equity" is a multiple of the account's equity, compared in the settle asset; "bps" are basis points of a price;
    "fraction" is 0..1. Metadata of each field holds its kind, unit and source row.
    """

    # Sizing.
    risk_fraction_max: Decimal | None = field(
        default=None, metadata=_decimal("fraction of equity lost at the stop, costs included", "L-26")
    )
    kelly_share_max: Decimal | None = field(
        default=None, metadata=_decimal("share of the Kelly fraction; caps the risk fraction", "L-25")
    )
    entry_leverage_max: int | None = field(
        default=None, metadata=_whole("x; leverage that an entry asks for", "design 5")
    )

    # Level 2, forbidden conditions.
    depth_levels_min: int | None = field(default=None, metadata=_whole("levels on the thinner side", "B-29"))
    spread_bps_max: Decimal | None = field(default=None, metadata=_decimal("bps of mid", "B-45, L-30"))
    slippage_bps_max: Decimal | None = field(
        default=None, metadata=_decimal("bps of mid, average price of walking the book", "L-31, B-50")
    )
    btc_liquidity_min: Decimal | None = field(
        default=None, metadata=_decimal("BTC in the top 5 levels of the thinner side", "B-50")
    )
    liquidity_notional_min: Decimal | None = field(
        default=None, metadata=_decimal("settle asset in the top 5 levels of the thinner side", "B-29")
    )
    quote_age_max: timedelta | None = field(default=None, metadata=_duration("B-30"))
    candle_lag_max: timedelta | None = field(default=None, metadata=_duration("design 2"))
    deviation_bps_max: Decimal | None = field(default=None, metadata=_decimal("bps, mid against last", "B-30"))
    volume_ratio_min: Decimal | None = field(default=None, metadata=_decimal("x the average volume", "L-32, FS-32"))
    atr_bps_max: Decimal | None = field(
        default=None, metadata=_decimal("bps of price, ATR of the signal's candles", "B-15")
    )
    atr_ratio_max: Decimal | None = field(default=None, metadata=_decimal("x the median ATR of 100 candles", "L-89"))
    funding_bps_max: Decimal | None = field(
        default=None, metadata=_decimal("bps per interval that the position would pay", "design 2")
    )
    news_impact_max: int | None = field(
        default=None, metadata=_whole("rank: 0 none, 1 low, 2 high, 3 critical", "B-35, L-88")
    )

    # Level 3, rulebook.
    btc_quantity_max: Decimal | None = field(default=None, metadata=_decimal("BTC held in one instrument", "B-42"))
    notional_max: Decimal | None = field(default=None, metadata=_decimal("settle asset, one position", "L-28"))
    notional_equity_max: Decimal | None = field(
        default=None, metadata=_decimal("x equity, one position in an alternative", "A-36")
    )
    major_notional_equity_max: Decimal | None = field(
        default=None, metadata=_decimal("x equity, one position in a major", "A-36")
    )
    leverage_max: int | None = field(default=None, metadata=_whole("x, alternatives", "B-49, A-35"))
    major_leverage_max: int | None = field(default=None, metadata=_whole("x, majors", "A-35"))
    exposure_max: Decimal | None = field(
        default=None, metadata=_decimal("x equity, notional of everything held or on its way", "T-33")
    )
    symbol_exposure_max: Decimal | None = field(
        default=None, metadata=_decimal("x equity, notional in one instrument", "T-31")
    )
    strategy_exposure_max: Decimal | None = field(
        default=None, metadata=_decimal("x equity, notional of one strategy", "T-32")
    )
    position_count_max: int | None = field(
        default=None, metadata=_whole("positions and entries on their way", "T-34, A-37")
    )
    positions_per_symbol_max: int | None = field(
        default=None, metadata=_whole("positions and entries on their way in one instrument", "A-34")
    )
    correlated_count_max: int | None = field(default=None, metadata=_whole("positions among BTC, ETH and BNB", "FS-39"))
    daily_loss_max: Decimal | None = field(
        default=None, metadata=_decimal("fraction of the equity at the day's start", "B-43, T-25")
    )
    daily_loss_amount_max: Decimal | None = field(default=None, metadata=_decimal("settle asset", "L-27"))
    drawdown_max: Decimal | None = field(default=None, metadata=_decimal("fraction of peak equity", "B-44, T-26"))
    consecutive_losses_max: int | None = field(default=None, metadata=_whole("losses in a row", "B-48, T-27"))
    win_rate_min: Decimal | None = field(default=None, metadata=_decimal("fraction of closed positions", "T-28"))
    sharpe_min: Decimal | None = field(
        default=None, metadata=_decimal("mean over deviation of net profit per closed position", "T-29")
    )
    samples_min: int | None = field(
        default=None, metadata=_whole("closed positions before a rate counts", "T-28, T-29")
    )
    breaker_cooldown_min: timedelta | None = field(default=None, metadata=_duration("T-30"))
    stop_cooldown_min: timedelta | None = field(default=None, metadata=_duration("L-29"))
    symbol_cooldown_min: timedelta | None = field(default=None, metadata=_duration("L-29"))
    margin_use_max: Decimal | None = field(default=None, metadata=_decimal("fraction of equity", "A-38"))
    orders_per_minute_max: int | None = field(default=None, metadata=_whole("orders", "B-50"))
    orders_per_hour_max: int | None = field(default=None, metadata=_whole("orders", "B-50"))
    edge_margin_bps_min: Decimal | None = field(
        default=None, metadata=_decimal("bps that the edge must exceed all costs by", "L-91")
    )
    hold_min: timedelta | None = field(default=None, metadata=_duration("B-46"))
    hold_max: timedelta | None = field(default=None, metadata=_duration("B-47"))

    # Level 4, sanity.
    notional_min: Decimal | None = field(default=None, metadata=_decimal("settle asset, one order", "L-91"))
    reward_min: Decimal | None = field(default=None, metadata=_decimal("x the risk, from the entry price", "A-40"))
    drift_bps_max: Decimal | None = field(default=None, metadata=_decimal("bps of price since the signal", "B-27"))
    confidence_min: Decimal | None = field(default=None, metadata=_decimal("fraction", "B-27"))


FIELDS: dict[str, dataclasses.Field[Any]] = {item.name: item for item in dataclasses.fields(Limits)}

_D = Decimal
_seconds = timedelta(seconds=1)
_minutes = timedelta(minutes=1)
_hours = timedelta(hours=1)

PLATFORM_CEILINGS = Limits(
    risk_fraction_max=_D("0.02"),
    kelly_share_max=None,
    entry_leverage_max=50,
    depth_levels_min=1,
    spread_bps_max=_D(50),
    slippage_bps_max=_D(50),
    quote_age_max=30 * _seconds,
    candle_lag_max=10 * _minutes,
    deviation_bps_max=_D(200),
    news_impact_max=2,
    notional_equity_max=_D("1.5"),
    major_notional_equity_max=_D(10),
    leverage_max=20,
    major_leverage_max=50,
    exposure_max=_D(20),
    symbol_exposure_max=_D(10),
    strategy_exposure_max=_D(20),
    position_count_max=20,
    positions_per_symbol_max=2,
    daily_loss_max=_D("0.10"),
    drawdown_max=_D("0.20"),
    consecutive_losses_max=10,
    samples_min=5,
    breaker_cooldown_min=1 * _hours,
    margin_use_max=_D("0.9"),
    orders_per_minute_max=60,
    orders_per_hour_max=600,
    edge_margin_bps_min=_D(0),
    reward_min=_D("0.5"),
    drift_bps_max=_D(200),
    confidence_min=_D(0),
)
"""What no tenant can loosen (design 2, A-35 to A-38, FS-20 % drawdown); None = no ceiling."""

_STANDARD = Limits(
    risk_fraction_max=_D("0.01"),
    entry_leverage_max=3,
    depth_levels_min=3,
    spread_bps_max=_D(25),
    slippage_bps_max=_D(20),
    liquidity_notional_min=_D(1_000),
    quote_age_max=5 * _seconds,
    candle_lag_max=2 * _minutes,
    deviation_bps_max=_D(50),
    volume_ratio_min=_D("0.3"),
    atr_bps_max=_D(400),
    atr_ratio_max=_D("4"),
    funding_bps_max=_D(10),
    news_impact_max=1,
    notional_equity_max=_D("0.5"),
    major_notional_equity_max=_D(1),
    leverage_max=3,
    major_leverage_max=3,
    exposure_max=_D(3),
    symbol_exposure_max=_D(1),
    strategy_exposure_max=_D(2),
    position_count_max=5,
    positions_per_symbol_max=1,
    daily_loss_max=_D("0.05"),
    drawdown_max=_D("0.15"),
    consecutive_losses_max=10,
    win_rate_min=_D("0.25"),
    sharpe_min=_D("-0.5"),
    samples_min=20,
    breaker_cooldown_min=24 * _hours,
    stop_cooldown_min=None,
    symbol_cooldown_min=2 * _minutes,
    margin_use_max=_D("0.8"),
    orders_per_minute_max=10,
    orders_per_hour_max=100,
    edge_margin_bps_min=_D(5),
    notional_min=_D(10),
    reward_min=_D("1.2"),
    drift_bps_max=_D(50),
    confidence_min=_D("0.3"),
)

_SCALPER = dataclasses.replace(
    _STANDARD,
    spread_bps_max=_D(10),
    slippage_bps_max=_D(5),
    btc_liquidity_min=_D(10),
    atr_bps_max=_D(150),
    atr_ratio_max=_D("2.5"),
    btc_quantity_max=_D("0.5"),
    exposure_max=_D("0.05"),
    daily_loss_max=_D("0.02"),
    drawdown_max=_D("0.05"),
    consecutive_losses_max=5,
    hold_min=5 * _seconds,
    hold_max=5 * _minutes,
    reward_min=_D("1.5"),
    drift_bps_max=_D(100),
)

_FUTURES = dataclasses.replace(
    _STANDARD,
    notional_equity_max=_D("1.5"),
    major_notional_equity_max=_D(10),
    leverage_max=20,
    major_leverage_max=50,
    exposure_max=_D(20),
    symbol_exposure_max=_D(10),
    strategy_exposure_max=_D(20),
    margin_use_max=_D("0.9"),
    correlated_count_max=1,
    reward_min=_D(2),
)

_SPOT = dataclasses.replace(
    _STANDARD,
    kelly_share_max=_D("0.25"),
    entry_leverage_max=1,
    leverage_max=1,
    major_leverage_max=1,
    atr_ratio_max=_D("2.5"),
    notional_max=_D(250),
    exposure_max=_D("0.5"),
    symbol_exposure_max=_D("0.3"),
    strategy_exposure_max=_D("0.5"),
    position_count_max=2,
    daily_loss_amount_max=_D(150),
    drawdown_max=_D("0.05"),
    consecutive_losses_max=5,
    stop_cooldown_min=15 * _minutes,
    edge_margin_bps_min=_D(20),
    notional_min=_D(50),
    reward_min=_D("1.5"),
)

PROFILES: dict[str, Limits] = {"standard": _STANDARD, "scalper": _SCALPER, "futures": _FUTURES, "spot": _SPOT}
"""Named starting points (design 2): conservative futures, B's scalper, A's futures ceilings at 3x, L's spot."""


def bound_of(name: str) -> Bound:
    """Which way the limit called `name` holds."""
    return Bound(name.rsplit("_", 1)[1])


def is_looser(name: str, value: Threshold | None, ceiling: Threshold | None) -> bool:
    """Whether `value` allows more than `ceiling`; no value allows everything, no ceiling forbids nothing."""
    if ceiling is None:
        return False
    if value is None:
        return True
    return bool(value > ceiling if bound_of(name) is Bound.MAX else value < ceiling)  # type: ignore[operator]


def clamp(limits: Limits, ceilings: Limits = PLATFORM_CEILINGS) -> Limits:
    """`limits` with every threshold that is looser than its ceiling tightened to it."""
    tightened = {
        name: getattr(ceilings, name)
        for name in FIELDS
        if is_looser(name, getattr(limits, name), getattr(ceilings, name))
    }
    return dataclasses.replace(limits, **tightened)


def resolve(
    profile: str, settings: Mapping[str, object], ceilings: Limits = PLATFORM_CEILINGS, *, strict: bool = True
) -> Limits:
    """Limits of an account: `profile`, overridden by `settings`, never looser than `ceilings`.

    Settings hold decimals as strings or numbers, durations in seconds, None for "not used". Raises NotFound for an
    unknown profile and InvalidInput for an unknown name, an unreadable value or, when `strict`, one looser than its
    ceiling. A profile that the platform has since overtaken is tightened without an error; so are settings when not
    `strict`, which is how stored settings are read: a lowered ceiling must bind at once and stop nobody.
    """
    if profile not in PROFILES:
        raise NotFound("risk profile", profile, PROFILES)
    changes = {name: _read(name, value) for name, value in settings.items()}
    for name, value in changes.items():
        ceiling = getattr(ceilings, name)
        if strict and is_looser(name, value, ceiling):
            raise InvalidInput(f"limits.{name}", settings[name], _accepted(name, ceiling))
    resolved = clamp(dataclasses.replace(PROFILES[profile], **changes), ceilings)
    if resolved.hold_min is not None and resolved.hold_max is not None and resolved.hold_min > resolved.hold_max:
        shown = _shown(resolved.hold_max)
        raise InvalidInput("limits.hold_min", _shown(resolved.hold_min), f"at most hold_max, which is {shown}")
    return resolved


def _read(name: str, value: object) -> Any:
    if name not in FIELDS:
        near = get_close_matches(name, FIELDS, n=1, cutoff=0.0)[0]
        raise InvalidInput("limits", name, f"the name of a limit; the nearest is {near}")
    if value is None:
        return None
    kind: Kind = FIELDS[name].metadata["kind"]
    number = _number(name, value)
    if kind is Kind.DURATION:
        return timedelta(microseconds=int(number * 1_000_000))
    return int(number) if kind is Kind.WHOLE else number


def _number(name: str, value: object) -> Decimal:
    accepted = _accepted(name, None)
    if isinstance(value, timedelta):
        value = Decimal(value // timedelta(microseconds=1)) / 1_000_000
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise InvalidInput(f"limits.{name}", value, accepted)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise InvalidInput(f"limits.{name}", value, accepted) from None
    is_whole = FIELDS[name].metadata["kind"] is not Kind.WHOLE or (number.is_finite() and number % 1 == 0)
    if not number.is_finite() or not is_whole or abs(number) > 10**12 or (number < 0 and name != "sharpe_min"):
        raise InvalidInput(f"limits.{name}", value, accepted)
    return number


def _accepted(name: str, ceiling: Threshold | None) -> str:
    kind: Kind = FIELDS[name].metadata["kind"]
    word = {Kind.DECIMAL: "a number", Kind.WHOLE: "a whole number", Kind.DURATION: "seconds"}[kind]
    lowest = "" if name == "sharpe_min" else " from 0"
    if ceiling is None:
        return f"{word}{lowest}, or null for not used"
    if bound_of(name) is Bound.MAX:
        return f"{word}{lowest} to {_shown(ceiling)}"
    return f"{word} from {_shown(ceiling)} up"


def _shown(value: Threshold) -> str:
    return f"{value.total_seconds():g} s" if isinstance(value, timedelta) else str(value)
