"""The reference backtest by which engines are compared: every rule of risk asked, none of them meant to refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from common.domain.backtest.engine import Setup
from common.domain.backtest.market import FRICTIONLESS, BacktestMarket
from common.domain.risk.limits import Limits
from common.domain.strategies import Strategy, get

NAME = "ema_rsi_reference"
PROFILE = "reference"

WINDOW = (datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 7, 1, tzinfo=UTC))
"""The candles every engine is given: opened at or after the first and before the second, none to warm up on."""

STAKE = Decimal(100)
WALLET = Decimal(1_000_000)

_MANY = 1_000_000
_HUGE = Decimal(1_000_000)

EVERY_RULE = Limits(
    risk_fraction_max=Decimal("0.02"),
    entry_leverage_max=1,
    depth_levels_min=1,
    spread_bps_max=_HUGE,
    slippage_bps_max=Decimal(10_000),
    btc_liquidity_min=Decimal(0),
    liquidity_notional_min=Decimal(0),
    quote_age_max=timedelta(minutes=10),
    candle_lag_max=timedelta(minutes=10),
    deviation_bps_max=_HUGE,
    volume_ratio_min=Decimal(0),
    atr_bps_max=_HUGE,
    atr_ratio_max=_HUGE,
    funding_bps_max=_HUGE,
    news_impact_max=2,
    btc_quantity_max=_HUGE,
    notional_max=2 * STAKE,
    notional_equity_max=Decimal(1),
    major_notional_equity_max=Decimal(1),
    leverage_max=1,
    major_leverage_max=1,
    exposure_max=Decimal(1),
    symbol_exposure_max=Decimal(1),
    strategy_exposure_max=Decimal(1),
    position_count_max=_MANY,
    positions_per_symbol_max=1,
    correlated_count_max=_MANY,
    daily_loss_max=Decimal(1),
    daily_loss_amount_max=WALLET,
    drawdown_max=Decimal(1),
    consecutive_losses_max=_MANY,
    win_rate_min=Decimal(0),
    sharpe_min=-_HUGE,
    samples_min=20,
    breaker_cooldown_min=timedelta(hours=1),
    stop_cooldown_min=timedelta(0),
    symbol_cooldown_min=timedelta(0),
    margin_use_max=Decimal(1),
    orders_per_minute_max=_MANY,
    orders_per_hour_max=_MANY,
    edge_margin_bps_min=Decimal(0),
    hold_min=timedelta(0),
    hold_max=timedelta(days=10_000),
    notional_min=Decimal(1),
    reward_min=Decimal("0.5"),
    drift_bps_max=Decimal(10_000),
    confidence_min=Decimal(0),
)
"""Every threshold set, at a value that the reference strategy never meets; the slippage limit doubles the price at which
the stake is counted, hence twice the stake."""


def reference_setup(markets: tuple[BacktestMarket, ...], strategy: Strategy | None = None) -> Setup:
    """The reference strategy on `markets`: a stake of 100 a trade, fills at the candles' own prices.

    `strategy` may be the reference with other parameters.
    """
    return Setup(
        markets=markets,
        strategies=(strategy or get(NAME),),
        limits=EVERY_RULE,
        equity=WALLET,
        assumptions=FRICTIONLESS,
        expires_in=timedelta(days=10_000),
        profile=PROFILE,
    )
