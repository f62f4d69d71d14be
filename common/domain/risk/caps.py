"""Caps: how much of each limit is used already, and how much a unit of a new order would use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import NamedTuple

from common.domain.market import Instrument
from common.domain.money import BPS, ONE, ZERO
from common.domain.risk.book import Book, Exposure, Record
from common.domain.risk.limits import CORRELATED, MAJORS, Limits
from common.domain.risk.verdict import Rule


@dataclass(frozen=True, slots=True)
class Cap:
    """One limit an order adds to: `used` so far, the `limit`, and what one base unit adds; all in `unit`.

    Sizing asks it for room and the rulebook for the measured value, so the two cannot disagree.
    """

    used: Decimal
    limit: Decimal
    per_unit: Decimal
    unit: str

    def measured(self, quantity: Decimal) -> Decimal:
        """What would be used with an order of `quantity` base units."""
        return self.used + quantity * self.per_unit

    def room(self) -> Decimal:
        """Largest quantity in base units that stays within the limit, rounded down; 0 when none does."""
        if self.per_unit <= ZERO:
            return ZERO
        with localcontext(rounding=ROUND_FLOOR):
            return max(ZERO, (self.limit - self.used) / self.per_unit)


class Terms(NamedTuple):
    """On what terms a new entry would be made: quote prices, fees included where the name says so.

    `price` is what the entry is expected to pay; `worst_price` the highest that the slippage limit still accepts, at
    which notional and margin are counted; `unit_risk` the loss of one base unit at the stop with both fees.
    """

    instrument: Instrument
    strategy: str
    price: Decimal
    worst_price: Decimal
    unit_risk: Decimal
    leverage: int


def terms_of(
    instrument: Instrument, strategy: str, price: Decimal, stop: Decimal, leverage: int, limits: Limits
) -> Terms:
    """Terms of an entry at `price` with its stop at `stop`; both must be finite and above zero."""
    slip = (limits.slippage_bps_max or ZERO) / BPS
    unit_risk = abs(price - stop) + instrument.taker_fee * (price + stop)
    return Terms(instrument, strategy, price, price * (ONE + slip), unit_risk, leverage)


def base_of(symbol: str) -> str:
    """Base asset of a unified symbol: `BTC` of `BTC/USDT:USDT`."""
    return symbol.split("/", 1)[0]


def own_exposures(book: Book) -> tuple[Exposure, ...]:
    """What counts against this account's limits: the tenant's other accounts have their own equity and limits."""
    return tuple(exposure for exposure in book.exposures if exposure.account_id == book.account_id)


def leverage_limit(instrument: Instrument, limits: Limits) -> int:
    """Highest leverage in x that limits and venue allow on `instrument`."""
    limit = limits.major_leverage_max if instrument.base in MAJORS else limits.leverage_max
    return instrument.max_leverage if limit is None else min(limit, instrument.max_leverage)


def notional_limit(instrument: Instrument, equity: Decimal, limits: Limits) -> Decimal | None:
    """Largest notional of one position in the settle asset; None when no limit is set."""
    multiple = limits.major_notional_equity_max if instrument.base in MAJORS else limits.notional_equity_max
    candidates = [limits.notional_max, None if multiple is None else multiple * equity]
    return min((candidate for candidate in candidates if candidate is not None), default=None)


def day_loss(record: Record) -> Decimal:
    """Loss of the day in the settle asset, never negative: a profit is no loss (trap 12)."""
    return max(ZERO, -record.day_profit)


def day_loss_limit(record: Record, limits: Limits, equity: Decimal) -> Decimal | None:
    """Largest loss of the day in the settle asset; None when no limit is set. Without a day's start, of `equity`."""
    start = record.day_start_equity if record.day_start_equity > ZERO else max(equity, ZERO)
    share = None if limits.daily_loss_max is None else limits.daily_loss_max * start
    candidates = [candidate for candidate in (share, limits.daily_loss_amount_max) if candidate is not None]
    return min(candidates, default=None)


def free_balance(book: Book) -> Decimal:
    """Margin that may still be used: what the venue calls available, less what it cannot know of our reservations."""
    committed = sum((exposure.margin for exposure in own_exposures(book)), ZERO)
    return max(ZERO, min(book.available, book.equity - committed))


def correlated_count(book: Book) -> int:
    """How many positions or entries on their way are in the correlated group."""
    return sum(base_of(exposure.instrument) in CORRELATED for exposure in own_exposures(book))


def caps_of(book: Book, limits: Limits, terms: Terms) -> Mapping[Rule, Cap]:
    """Every limit that the size of an entry on `terms` adds to, in the order the rulebook walks them."""
    instrument, equity, settle = terms.instrument, max(book.equity, ZERO), terms.instrument.settle
    own = own_exposures(book)
    total = sum((exposure.notional for exposure in own), ZERO)
    symbol = [exposure for exposure in own if exposure.instrument == instrument.symbol]
    strategy = sum((exposure.notional for exposure in own if exposure.strategy == terms.strategy), ZERO)
    in_symbol = sum((exposure.notional for exposure in symbol), ZERO)
    margin = sum((exposure.margin for exposure in own), ZERO)
    at_risk = sum((exposure.risk for exposure in own), ZERO)
    margin_per_unit = terms.worst_price / terms.leverage
    loss = day_loss(book.record) + at_risk

    def by_notional(used: Decimal, multiple: Decimal | int | None) -> Cap | None:
        return None if multiple is None else Cap(used, multiple * equity, terms.worst_price, settle)

    def amount(used: Decimal, limit: Decimal | None, per_unit: Decimal) -> Cap | None:
        return None if limit is None else Cap(used, limit, per_unit, settle)

    caps = {
        Rule.POSITION_SIZE_EXCEEDS_LIMIT: _position_size(symbol, limits, instrument),
        Rule.NOTIONAL_EXCEEDS_LIMIT: amount(ZERO, notional_limit(instrument, equity, limits), terms.worst_price),
        Rule.LEVERAGE_EXCEEDS_LIMIT: by_notional(total, leverage_limit(instrument, limits)),
        Rule.EXPOSURE_EXCEEDS_LIMIT: by_notional(total, limits.exposure_max),
        Rule.SYMBOL_EXPOSURE_EXCEEDS_LIMIT: by_notional(in_symbol, limits.symbol_exposure_max),
        Rule.STRATEGY_EXPOSURE_EXCEEDS_LIMIT: by_notional(strategy, limits.strategy_exposure_max),
        Rule.DAILY_LOSS_EXCEEDS_LIMIT: amount(loss, day_loss_limit(book.record, limits, equity), terms.unit_risk),
        Rule.MARGIN_EXCEEDS_LIMIT: amount(
            margin, None if limits.margin_use_max is None else limits.margin_use_max * equity, margin_per_unit
        ),
        Rule.BALANCE_TOO_LOW: Cap(
            ZERO, free_balance(book), margin_per_unit + terms.worst_price * instrument.taker_fee, settle
        ),
    }
    return {rule: cap for rule, cap in caps.items() if cap is not None}


def _position_size(symbol: list[Exposure], limits: Limits, instrument: Instrument) -> Cap:
    """The venue's largest order, or what is left of the quantity limit where that is less."""
    venue = Cap(ZERO, instrument.max_quantity, ONE, instrument.base)
    if instrument.base != "BTC" or limits.btc_quantity_max is None:
        return venue
    held = Cap(sum((exposure.quantity for exposure in symbol), ZERO), limits.btc_quantity_max, ONE, instrument.base)
    return min(venue, held, key=Cap.room)
