"""Clearance: entries that no rule can object to, told by floats with a margin; everything closer goes to the judge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from common.domain import sizing
from common.domain.backtest.account import MINIMUM_SAMPLE, Ledger
from common.domain.backtest.market import Assumptions, BacktestMarket, Bars
from common.domain.market import Instrument, InstrumentStatus
from common.domain.money import ZERO
from common.domain.risk.book import EVERY_INSTRUMENT
from common.domain.risk.caps import Terms, leverage_limit, terms_of
from common.domain.risk.limits import CORRELATED, MAJORS, Limits
from common.domain.risk.rulebook import EDGE_SHARE
from common.domain.signal import Side
from common.domain.strategies.base import Entries

MARGIN = 1e-7
"""Relative distance from a limit within which floats do not decide."""

ROUNDING = 1e-14
"""Relative error that the float arithmetic here stays well within."""

Flags = npt.NDArray[np.bool_]


class Cleared(NamedTuple):
    """An entry that the judge would approve: exactly this quantity, at this leverage."""

    quantity: Decimal
    leverage: int


class Stacked(NamedTuple):
    """An entry that the judge would refuse for what is held in the same instrument already."""


def clear_markets(
    market: BacktestMarket, entries: Entries, bars: Bars, limits: Limits, assumptions: Assumptions
) -> Flags:
    """Which of the signals on `bars` no rule about the market or the order itself can object to, whatever is held."""
    instrument, columns = market.instrument, market.columns
    if instrument.status is not InstrumentStatus.TRADING:
        return np.zeros(bars.size, dtype=np.bool_)
    close = columns.close[bars]
    tick = float(instrument.tick_size)
    spread = float(assumptions.spread_bps) / 1e4 * close + 2 * tick
    cost = 2 * float(instrument.taker_fee) * 1e4 + spread / close * 1e4
    fine = _below(spread / close * 1e4, limits.spread_bps_max) & _below(spread / close * 5e3, limits.slippage_bps_max)
    fine &= _below(spread / close * 5e3, limits.deviation_bps_max) & _below(spread / close * 1e4, limits.drift_bps_max)
    fine &= assumptions.depth_levels >= max(limits.depth_levels_min or 0, 1)
    depth = _depth(market, bars, assumptions) * min(assumptions.depth_levels, 5)
    fine &= _above(depth * close * 0.99, limits.liquidity_notional_min)
    fine &= (depth > 0) & (close > 2 * tick * assumptions.depth_levels)
    if instrument.base == "BTC":
        fine &= _above(depth, limits.btc_liquidity_min)
    fine &= _above(market.volume_ratio[bars], limits.volume_ratio_min, unknown=True)
    fine &= _below(market.atr[bars] / close * 1e4, limits.atr_bps_max, unknown=True)
    if limits.atr_ratio_max is not None:
        fine &= _ratio_is_below(market, bars, limits.atr_ratio_max)
    fine &= ~market.gaps(bars, assumptions)
    stop, target, confidence = entries.stop[bars], entries.target[bars], entries.confidence[bars]
    risk, reward = stop + spread + 2 * tick, target - spread - 2 * tick
    has_target = np.isfinite(target)
    fine &= (stop > spread + 2 * tick) & (stop < close / 2) & (~has_target | ((reward > 0) & (target < close / 2)))
    fine &= ~has_target | _above(reward / risk, limits.reward_min)
    way = np.where(has_target, reward, market.atr[bars] * 0.999)
    share = (confidence - 1e-4) * float(EDGE_SHARE)
    if limits.edge_margin_bps_min is not None:
        fine &= _above(way / close * 1e4 * share - cost, limits.edge_margin_bps_min)
    fine &= _above(confidence - 1e-4, limits.confidence_min)
    return fine


def _ratio_is_below(market: BacktestMarket, bars: Bars, limit: Decimal) -> Flags:
    """Whether the ATR is less than `limit` times its median, or one of them is not known."""
    atr = market.atr[bars]
    # No median is below the least of its window, which is far quicker to find; it decides most bars.
    fine = _below(atr / market.atr_least(bars), limit)
    open_ = np.flatnonzero(~fine)
    fine[open_] = _below(atr[open_] / market.atr_medians(bars[open_]), limit, unknown=True)
    return fine


def _depth(market: BacktestMarket, bars: Bars, assumptions: Assumptions) -> npt.NDArray[np.float64]:
    if assumptions.depth_share is None:
        return np.full(bars.size, float(market.instrument.max_quantity))
    step = float(market.instrument.step_size)
    return np.nan_to_num(market.volume_mean[bars]) * float(assumptions.depth_share) - step


def _below(values: npt.NDArray[np.float64], limit: Decimal | int | None, *, unknown: bool = False) -> Flags:
    if limit is None:
        return np.ones(values.shape, dtype=np.bool_)
    bound = float(limit)
    fine: Flags = values < bound - MARGIN * max(1.0, abs(bound))
    return fine | np.isnan(values) if unknown else fine


def _above(values: npt.NDArray[np.float64], limit: Decimal | int | None, *, unknown: bool = False) -> Flags:
    if limit is None:
        return np.ones(values.shape, dtype=np.bool_)
    bound = float(limit)
    fine: Flags = values > bound + MARGIN * max(1.0, abs(bound))
    return fine | np.isnan(values) if unknown else fine


class Grid(NamedTuple):
    """What is asked of every entry on one instrument, once, most of it in floats; `quantity` is the most that may be held."""

    instrument: Instrument
    step: float
    quantity: float
    leverage: float
    fee: float
    is_major: bool
    least_quantity: Decimal
    least_notional: Decimal
    needs_judge: bool

    @classmethod
    def of(cls, market: BacktestMarket, limits: Limits) -> Grid:
        """The grid of `market` under `limits`; a size that depends on past payoffs, or funding, always needs the judge."""
        instrument = market.instrument
        held = limits.btc_quantity_max if instrument.base == "BTC" else None
        largest = float(instrument.max_quantity)
        pays_funding = market.funding is not None and limits.funding_bps_max is not None
        return cls(
            instrument=instrument,
            step=float(instrument.step_size),
            quantity=largest if held is None else min(largest, float(held)),
            leverage=float(leverage_limit(instrument, limits)),
            fee=float(instrument.taker_fee),
            is_major=instrument.base in MAJORS,
            least_quantity=instrument.min_quantity + instrument.step_size,
            least_notional=max(instrument.min_notional, limits.notional_min or ZERO),
            needs_judge=pays_funding or limits.kelly_share_max is not None,
        )


class Asked(NamedTuple):
    """One entry to clear: `share` of the equity at risk, `price` the best of the assumed book, `depth` what lies there."""

    strategy: str
    side: Side
    share: float
    price: Decimal
    stop: Decimal
    depth: Decimal


class Standing(NamedTuple):
    """Where the account stands at `now`, in floats: everything held and the approved entries that are not filled yet.

    `in_symbol` is the notional in the instrument asked for, `in_strategy` that of the strategy; `sides` are those held
    in the instrument; `positions` counts the (instrument, side) pairs held; `has_clear_rates` is what `rates_are_clear`
    says of the record.
    """

    now: datetime
    equity: float
    unrealised: float
    notional: float
    margin: float
    risk: float
    in_symbol: float
    in_strategy: float
    sides: list[Side]
    positions: int
    has_clear_rates: bool


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits that are asked at every entry, in floats; infinite where not set."""

    limits: Limits
    multiple: float
    major_multiple: float
    notional: float
    exposure: float
    symbol_exposure: float
    strategy_exposure: float
    margin_use: float
    daily_loss: float
    daily_loss_amount: float
    drawdown: float
    win_rate: float
    sharpe: float
    samples: int
    consecutive_losses: int | None

    @classmethod
    def of(cls, limits: Limits) -> Bounds:
        """The bounds of `limits`."""

        def most(limit: Decimal | None) -> float:
            return math.inf if limit is None else float(limit)

        def least(limit: Decimal | None) -> float:
            return -math.inf if limit is None else float(limit)

        return cls(
            limits=limits,
            multiple=most(limits.notional_equity_max),
            major_multiple=most(limits.major_notional_equity_max),
            notional=most(limits.notional_max),
            exposure=most(limits.exposure_max),
            symbol_exposure=most(limits.symbol_exposure_max),
            strategy_exposure=most(limits.strategy_exposure_max),
            margin_use=most(limits.margin_use_max),
            daily_loss=most(limits.daily_loss_max),
            daily_loss_amount=most(limits.daily_loss_amount_max),
            drawdown=most(limits.drawdown_max),
            # No rate is below nothing: such a floor is none.
            win_rate=least(limits.win_rate_min or None),
            sharpe=least(limits.sharpe_min),
            samples=max(limits.samples_min or 0, MINIMUM_SAMPLE),
            consecutive_losses=limits.consecutive_losses_max,
        )


def clear(asked: Asked, grid: Grid, ledger: Ledger, bounds: Bounds, standing: Standing) -> Cleared | Stacked | None:
    """What the judge would say where it is beyond doubt, else None.

    Only for entries whose market is clear (`clear_markets`), and for accounts that are active, reconciled, without halts
    and without an advisor, as those of a backtest are.
    """
    instrument, limits = grid.instrument, bounds.limits
    if grid.needs_judge or standing.equity <= 0:
        return None
    if not _record_is_clear(instrument.symbol, ledger, bounds, standing):
        return None
    leverage = sizing.leverage_for(instrument, asked.price, asked.stop, limits)
    terms = terms_of(instrument, asked.strategy, asked.price, asked.stop, leverage, limits)
    quantity = _quantity(asked, grid, ledger, bounds, standing, terms)
    if quantity is None or not _is_large_enough(quantity, asked, grid):
        return None
    if asked.side in standing.sides:
        return Stacked()
    if standing.sides or not _correlation_is_clear(instrument, ledger, limits):
        return None
    return Cleared(quantity, leverage) if _rate_is_clear(ledger, limits, standing.now) else None


def _correlation_is_clear(instrument: Instrument, ledger: Ledger, limits: Limits) -> bool:
    limit = limits.correlated_count_max
    if limit is None or len(ledger.open) < limit or instrument.base not in CORRELATED:
        return True
    return 1 + sum(held.instrument.base in CORRELATED for held in ledger.open) <= limit


def _is_large_enough(quantity: Decimal, asked: Asked, grid: Grid) -> bool:
    spare = quantity - grid.instrument.step_size
    return quantity >= grid.least_quantity and spare * asked.price > grid.least_notional and quantity <= asked.depth


def _rate_is_clear(ledger: Ledger, limits: Limits, now: datetime) -> bool:
    minute, hour = ledger.rates(now)
    by_minute, by_hour = limits.orders_per_minute_max, limits.orders_per_hour_max
    return (by_minute is None or minute < by_minute) and (by_hour is None or hour < by_hour)


def _record_is_clear(symbol: str, ledger: Ledger, bounds: Bounds, standing: Standing) -> bool:
    now, limits = standing.now, bounds.limits
    if ledger.cooling_until is not None and ledger.cooling_until > now:
        return False
    for name in (symbol, EVERY_INSTRUMENT):
        rest = ledger.symbol_cooling.get(name)
        if rest is not None and rest > now:
            return False
    if limits.position_count_max is not None and standing.positions + 1 > limits.position_count_max:
        return False
    if bounds.consecutive_losses is not None and ledger.streak >= bounds.consecutive_losses:
        return False
    peak = max(float(ledger.peak), standing.equity)
    return (peak - standing.equity) / peak < bounds.drawdown - MARGIN and standing.has_clear_rates


def rates_are_clear(ledger: Ledger, bounds: Bounds) -> bool:
    """Whether win rate and Sharpe are beyond doubt above their floors, or too few results to count."""
    count = len(ledger.recent)
    if count < bounds.samples:
        # Below either number the judge has no rate, or does not count it.
        return True
    if ledger.recent_wins / count < bounds.win_rate + MARGIN:
        return False
    if bounds.sharpe == -math.inf:
        return True
    total, squares = float(ledger.recent_sum), float(ledger.recent_squares)
    mean = total / count
    variance = (squares - mean * total) / (count - 1)
    # Where the results hardly vary, the difference above has lost the digits that would decide.
    is_sound = variance > 1e-6 * squares
    return is_sound and mean / math.sqrt(variance) > bounds.sharpe + MARGIN * max(1.0, abs(bounds.sharpe))


def _quantity(
    asked: Asked, grid: Grid, ledger: Ledger, bounds: Bounds, standing: Standing, terms: Terms
) -> Decimal | None:
    """The quantity that sizing would give, when floats are sure of it; None when not, or when a limit has no room."""
    room, used = _room(asked, grid, ledger, bounds, standing, terms)
    # A difference is in doubt by the digits of what was subtracted.
    doubt = ROUNDING * (room + 2 * used)
    steps = math.floor((room - doubt) / grid.step * (1 - ROUNDING))
    if steps < 1 or steps != math.floor((room + doubt) / grid.step * (1 + ROUNDING)):
        return None
    return steps * grid.instrument.step_size


def _room(
    asked: Asked, grid: Grid, ledger: Ledger, bounds: Bounds, standing: Standing, terms: Terms
) -> tuple[float, float]:
    """(the least that any limit leaves, the most that is used of one), in base units, as `sizing` and `caps` count them."""
    equity, notional, margin = standing.equity, standing.notional, standing.margin
    worst, unit_risk = float(terms.worst_price), float(terms.unit_risk)
    per_margin = worst / terms.leverage
    start = float(ledger.day_start_equity) if ledger.day_start_equity > ZERO else equity
    lost = max(0.0, -(float(ledger.realised_today - ledger.paid) + standing.unrealised)) + standing.risk
    by_notional = min(
        (bounds.major_multiple if grid.is_major else bounds.multiple) * equity,
        bounds.notional,
        grid.leverage * equity - notional,
        bounds.exposure * equity - notional,
        bounds.symbol_exposure * equity - standing.in_symbol,
        bounds.strategy_exposure * equity - standing.in_strategy,
    )
    room = min(
        by_notional / worst,
        # Approximate where some is held; such an entry is stacked or goes to the judge.
        grid.quantity - standing.in_symbol / worst,
        (bounds.margin_use * equity - margin) / per_margin,
        (equity - margin) / (per_margin + worst * grid.fee),
        (min(bounds.daily_loss * start, bounds.daily_loss_amount) - lost) / unit_risk,
        asked.share * equity / unit_risk,
    )
    return room, max(notional / worst, margin / per_margin, lost / unit_risk)
