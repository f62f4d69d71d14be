"""Feedback: what the last closed trades say, as statistics with their counts; one tenant's own, never part of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from common.domain.money import ZERO, exactly
from common.domain.performance import grouped, sharpe, trade_stats
from common.domain.position import Position

RECENT = 20
"""Closed trades that are looked at (A-13)."""

AVOID_BELOW = Decimal("0.3")
FAVOUR_ABOVE = Decimal("0.7")
SAMPLE_MIN = 3
"""Trades of an instrument below which its win rate says nothing (A-06)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Figures of the last closed trades; `trades` is how many there were. None = not defined.

    `sharpe` is mean over sample deviation of the profits of single trades, not annualised: trades keep no calendar.
    """

    trades: int
    wins: int
    net_profit: Decimal
    win_rate: Decimal | None
    profit_factor: Decimal | None
    sharpe: Decimal | None


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a tenant's last trades say: over all, and by instrument; `best` and `worst` by net profit.

    `avoid` and `favour` name instruments with at least three trades; nothing acts on them by itself.
    """

    overall: Tally
    by_symbol: Mapping[str, Tally]
    best: str | None
    worst: str | None
    avoid: tuple[str, ...]
    favour: tuple[str, ...]


@exactly
def tally(positions: Sequence[Position]) -> Tally:
    """Figures of the closed ones among `positions`."""
    stats = trade_stats(positions)
    profits = [position.net_profit for position in positions if position.closed_at is not None]
    return Tally(
        trades=stats.trades,
        wins=stats.wins,
        net_profit=stats.net_profit,
        win_rate=stats.win_rate,
        profit_factor=stats.profit_factor,
        sharpe=sharpe(profits, risk_free=ZERO, periods=1),
    )


@exactly
def feedback(recent: Sequence[Position], by_symbol: Sequence[Position]) -> Feedback:
    """Feedback on `recent`, the last trades over all, and on `by_symbol`, the last trades of each instrument."""
    symbols = sorted({position.instrument for position in by_symbol})
    tallies = {symbol: tally([item for item in by_symbol if item.instrument == symbol]) for symbol in symbols}
    earned = {symbol: stats.net_profit for symbol, stats in grouped(recent, lambda item: item.instrument).items()}
    sampled = {symbol: item.win_rate for symbol, item in tallies.items() if item.trades >= SAMPLE_MIN}
    return Feedback(
        overall=tally(recent),
        by_symbol=tallies,
        best=max(earned, key=lambda symbol: earned[symbol], default=None),
        worst=min(earned, key=lambda symbol: earned[symbol], default=None),
        avoid=tuple(symbol for symbol, rate in sampled.items() if rate is not None and rate < AVOID_BELOW),
        favour=tuple(symbol for symbol, rate in sampled.items() if rate is not None and rate > FAVOUR_ABOVE),
    )
