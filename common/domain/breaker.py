"""The trading circuit breaker: what an account's recent results trip, and until when; it ends by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from common.domain.money import ZERO
from common.domain.position import CloseReason, Position
from common.domain.risk.book import EVERY_INSTRUMENT, Record
from common.domain.risk.caps import day_loss, day_loss_limit
from common.domain.risk.context import Measure, at_least
from common.domain.risk.limits import Limits
from common.domain.risk.verdict import Rule

COOLDOWN = timedelta(hours=24)
"""Cool-down where no limit names one (T-30)."""

STOPPED_OUT = frozenset({CloseReason.STOP, CloseReason.LIQUIDATION})
"""Closes after which markets are left alone for a while, when they lost."""

Threshold = Callable[[Record, Limits, Decimal], Measure | None]


@dataclass(frozen=True, slots=True)
class Trip:
    """The breaker opened: which threshold, with its two numbers, and when entries may go on."""

    rule: Rule
    measured: Decimal
    limit: Decimal
    unit: str
    until: datetime


def reached(measured: Decimal | int, limit: Decimal | int, unit: str) -> Measure:
    """A line that stops at being touched: with the whole loss used up, no new one can be afforded."""
    return Measure(Decimal(measured), Decimal(limit), unit, measured >= limit)


def daily_loss(record: Record, limits: Limits, equity: Decimal) -> Measure | None:
    """Loss of the day in the settle asset; a profit measures 0 (trap 12)."""
    limit = day_loss_limit(record, limits, equity)
    return None if limit is None else reached(day_loss(record), limit, "settle")


def drawdown(record: Record, limits: Limits, equity: Decimal) -> Measure | None:
    """Fraction of the peak equity that is lost."""
    peak = max(record.peak_equity, equity)
    if limits.drawdown_max is None or peak <= ZERO:
        return None
    return reached((peak - equity) / peak, limits.drawdown_max, "fraction")


def loss_streak(record: Record, limits: Limits, equity: Decimal) -> Measure | None:
    """Losses in a row."""
    limit = limits.consecutive_losses_max
    return None if limit is None else reached(record.consecutive_losses, limit, "losses")


def win_rate(record: Record, limits: Limits, equity: Decimal) -> Measure | None:
    """Share of winners, once there are samples enough."""
    return at_least(record.win_rate, limits.win_rate_min, "fraction") if _counts(record, limits) else None


def sharpe(record: Record, limits: Limits, equity: Decimal) -> Measure | None:
    """Mean over deviation of the profit per closed position, once there are samples enough."""
    return at_least(record.sharpe, limits.sharpe_min, "ratio") if _counts(record, limits) else None


def _counts(record: Record, limits: Limits) -> bool:
    return record.closed_trades >= (limits.samples_min or 0)


THRESHOLDS: Mapping[Rule, Threshold] = {
    Rule.DAILY_LOSS_EXCEEDS_LIMIT: daily_loss,
    Rule.DRAWDOWN_EXCEEDS_LIMIT: drawdown,
    Rule.CONSECUTIVE_LOSSES_EXCEED_LIMIT: loss_streak,
    Rule.WIN_RATE_BELOW_FLOOR: win_rate,
    Rule.SHARPE_BELOW_FLOOR: sharpe,
}
"""The five thresholds, in the order in which they are asked (T-25 to T-29)."""


def trip(record: Record, limits: Limits, now: datetime, *, equity: Decimal | None = None) -> Trip | None:
    """What opens the breaker now, or None; an account that is cooling down already is left to do so.

    `equity` defaults to the day's start plus the day's profit. The cool-down lasts `breaker_cooldown_min`, 24 h where
    that is not set, and ends by itself; the record must then count anew (see `Record`).
    """
    if record.cooling_until is not None and record.cooling_until > now:
        return None
    worth = record.day_start_equity + record.day_profit if equity is None else equity
    until = now + (COOLDOWN if limits.breaker_cooldown_min is None else limits.breaker_cooldown_min)
    for rule, threshold in THRESHOLDS.items():
        measure = threshold(record, limits, worth)
        if measure is not None and measure.is_crossed:
            return Trip(rule, measure.measured, measure.limit, measure.unit, until)
    return None


def stop_rests(closed: Position, limits: Limits) -> dict[str, timedelta]:
    """How long a loss at the stop leaves what alone (L-29): its instrument, and `EVERY_INSTRUMENT`; empty after any other close."""
    if closed.close_reason not in STOPPED_OUT or closed.net_profit >= ZERO:
        return {}
    rests = {closed.instrument: limits.symbol_cooldown_min, EVERY_INSTRUMENT: limits.stop_cooldown_min}
    return {name: rest for name, rest in rests.items() if rest}
