"""Verdicts: Approved with an intent, or a Veto that names its rule, the measured value and the limit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum

from common.domain.order import OrderIntent


class Level(IntEnum):
    """The five levels, highest authority first."""

    KILL_SWITCH = 1
    FORBIDDEN = 2
    RULEBOOK = 3
    SANITY = 4
    ADVICE = 5


class Rule(StrEnum):
    """Every rule of risk; each has its paragraph in docs/risk.md."""

    HALTED_PLATFORM = "halted_platform"
    HALTED_VENUE = "halted_venue"
    HALTED_TENANT = "halted_tenant"
    HALTED_STRATEGY = "halted_strategy"
    HALTED_INSTRUMENT = "halted_instrument"
    TENANT_NOT_ACTIVE = "tenant_not_active"
    ACCOUNT_NOT_RECONCILED = "account_not_reconciled"
    ENVIRONMENT_NOT_ALLOWED = "environment_not_allowed"
    QUARANTINED = "quarantined"

    MISSING_QUOTE = "missing_quote"
    EMPTY_BOOK = "empty_book"
    THIN_BOOK = "thin_book"
    SPREAD_TOO_WIDE = "spread_too_wide"
    SLIPPAGE_TOO_HIGH = "slippage_too_high"
    LIQUIDITY_TOO_LOW = "liquidity_too_low"
    STALE_QUOTES = "stale_quotes"
    STALE_CANDLES = "stale_candles"
    PRICE_DEVIATION = "price_deviation"
    VOLUME_TOO_LOW = "volume_too_low"
    VOLATILITY_TOO_HIGH = "volatility_too_high"
    FUNDING_TOO_HIGH = "funding_too_high"
    DATA_GAP = "data_gap"
    VENUE_UNHEALTHY = "venue_unhealthy"
    NEWS_WINDOW = "news_window"

    POSITION_SIZE_EXCEEDS_LIMIT = "position_size_exceeds_limit"
    NOTIONAL_EXCEEDS_LIMIT = "notional_exceeds_limit"
    LEVERAGE_EXCEEDS_LIMIT = "leverage_exceeds_limit"
    EXPOSURE_EXCEEDS_LIMIT = "exposure_exceeds_limit"
    SYMBOL_EXPOSURE_EXCEEDS_LIMIT = "symbol_exposure_exceeds_limit"
    STRATEGY_EXPOSURE_EXCEEDS_LIMIT = "strategy_exposure_exceeds_limit"
    POSITION_COUNT_EXCEEDS_LIMIT = "position_count_exceeds_limit"
    DAILY_LOSS_EXCEEDS_LIMIT = "daily_loss_exceeds_limit"
    DRAWDOWN_EXCEEDS_LIMIT = "drawdown_exceeds_limit"
    CONSECUTIVE_LOSSES_EXCEED_LIMIT = "consecutive_losses_exceed_limit"
    WIN_RATE_BELOW_FLOOR = "win_rate_below_floor"
    SHARPE_BELOW_FLOOR = "sharpe_below_floor"
    COOLING_DOWN = "cooling_down"
    SYMBOL_COOLING_DOWN = "symbol_cooling_down"
    MARGIN_EXCEEDS_LIMIT = "margin_exceeds_limit"
    BALANCE_TOO_LOW = "balance_too_low"
    STACKED_POSITION = "stacked_position"
    CORRELATED_POSITION = "correlated_position"
    ORDER_RATE_EXCEEDS_LIMIT = "order_rate_exceeds_limit"
    EDGE_BELOW_COST = "edge_below_cost"

    UNKNOWN_INSTRUMENT = "unknown_instrument"
    INSTRUMENT_NOT_TRADING = "instrument_not_trading"
    NUMBER_NOT_FINITE = "number_not_finite"
    OFF_GRID = "off_grid"
    SIZE_TOO_SMALL = "size_too_small"
    STOP_ON_WRONG_SIDE = "stop_on_wrong_side"
    TARGET_ON_WRONG_SIDE = "target_on_wrong_side"
    REWARD_TOO_SMALL = "reward_too_small"
    SIGNAL_EXPIRED = "signal_expired"
    PRICE_DRIFTED = "price_drifted"
    CONFIDENCE_TOO_LOW = "confidence_too_low"

    ADVISOR_REJECTED = "advisor_rejected"
    ADVISOR_ABSTAINED = "advisor_abstained"
    ADVISOR_UNAVAILABLE = "advisor_unavailable"


@dataclass(frozen=True, slots=True)
class Veto:
    """Our refusal: the first rule that said no, what it measured and what it allows, in `unit`.

    `measured` and `limit` are numbers wherever the rule compares numbers; a rule about a state measures 1 against 0.
    """

    level: Level
    rule: Rule
    measured: Decimal
    limit: Decimal
    unit: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an approved entry holds of the tenant's limits until its order is terminal; in the settle asset.

    `risk` is the loss at the stop, costs included.
    """

    notional: Decimal
    margin: Decimal
    risk: Decimal


@dataclass(frozen=True, slots=True)
class Approved:
    """Our consent: exactly this order may leave, and this much is reserved for it."""

    intent: OrderIntent
    reservation: Reservation


Verdict = Approved | Veto
