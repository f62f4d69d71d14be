"""A symbol's trading rules: grid, sizes, notional, leverage brackets, and the refusals they cause."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from simulator.errors import VenueError, refuse, rejected_filter
from simulator.market.feed import Feed
from simulator.money import from_steps, text

MAJORS = ("BTC", "ETH")
TAKER, MAKER = Decimal("0.0005"), Decimal("0.0002")
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"]
TIMES_IN_FORCE = ["GTC", "IOC", "FOK", "GTX"]
MAX_CONDITIONAL_ORDERS = 10
# Limit prices may not be further than this on the aggressive side of the mark.
PRICE_UP, PRICE_DOWN = Decimal("1.10"), Decimal("0.90")

# Cap of the notional in USDT, highest leverage, maintenance margin rate.
MAJOR_BRACKETS = ((50_000, 125, "0.004"), (600_000, 100, "0.005"), (3_000_000, 75, "0.0065"), (12_000_000, 50, "0.01"),
                  (70_000_000, 25, "0.02"), (100_000_000, 20, "0.025"), (1_000_000_000, 5, "0.1"))  # fmt: skip
OTHER_BRACKETS = ((10_000, 75, "0.0065"), (50_000, 50, "0.01"), (250_000, 25, "0.02"), (1_000_000, 20, "0.025"),
                  (2_500_000, 10, "0.05"), (5_000_000, 5, "0.1"), (20_000_000, 2, "0.25"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of the leverage table; `cum` makes the maintenance margin continuous across steps."""

    number: int
    floor: Decimal
    cap: Decimal
    leverage: int
    rate: Decimal
    cum: Decimal


def _brackets(base: str) -> tuple[Bracket, ...]:
    out: list[Bracket] = []
    floor, cum, before = Decimal(0), Decimal(0), Decimal(0)
    for number, (cap, leverage, rate_text) in enumerate(MAJOR_BRACKETS if base in MAJORS else OTHER_BRACKETS, 1):
        rate = Decimal(rate_text)
        cum += floor * (rate - before)
        out.append(Bracket(number, floor, Decimal(cap), leverage, rate, cum))
        floor, before = Decimal(cap), rate
    return tuple(out)


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """What the venue accepts for a symbol; sizes in base units, prices in USDT.

    `price_scale` is the grid the market trades on, `tick_scale` that of the prices it accepts in orders: the same, or
    coarser while the filter is changed.
    """

    symbol: str
    base: str
    price_scale: int
    tick_scale: int
    qty_scale: int
    min_notional: Decimal
    max_qty: Decimal
    brackets: tuple[Bracket, ...]
    listed_ms: int
    rough_brackets: tuple[tuple[float, float], ...]

    @property
    def tick(self) -> Decimal:
        """The price step of orders."""
        return from_steps(1, self.tick_scale)

    def with_tick(self, tick: Decimal) -> "SymbolRules":
        """The same with another price step; refuses one that is no power of ten on the market's grid."""
        accepted = [from_steps(1, scale) for scale in range(self.price_scale + 1)]
        if tick not in accepted:
            listed = ", ".join(text(step) for step in accepted)
            raise VenueError(-1130, f"tick {tick} of {self.symbol} is not accepted; accepted are {listed}")
        return replace(self, tick_scale=accepted.index(tick))

    @property
    def step(self) -> Decimal:
        """The size step, which is also the least size."""
        return from_steps(1, self.qty_scale)

    def check_quantity(self, qty: Decimal) -> None:
        """Refuse a size off the grid or outside its bounds."""
        if not qty.is_finite() or qty <= 0:
            raise refuse(-4003)
        if _decimals(qty) > self.qty_scale:
            raise refuse(-1111)
        if qty < self.step:
            raise rejected_filter("LOT_SIZE")
        if qty > self.max_qty:
            raise refuse(-4005)

    def check_price(self, price: Decimal, name: str = "price") -> None:
        """Refuse a price off the grid or impossible."""
        if not price.is_finite() or price <= 0:
            raise refuse(-1102, name=name)
        if _decimals(price) > self.price_scale:
            raise refuse(-1111)
        if _decimals(price) > self.tick_scale:
            raise refuse(-4014)
        if price > Decimal(10) ** 9:
            raise rejected_filter("PRICE_FILTER")

    def check_band(self, price: Decimal, is_buy: bool, mark: Decimal) -> None:
        """Refuse a limit price too far on the aggressive side of the mark."""
        if is_buy and price > mark * PRICE_UP:
            raise refuse(-4016, limit=text((mark * PRICE_UP).quantize(self.tick)))
        if not is_buy and price < mark * PRICE_DOWN:
            raise refuse(-4024, limit=text((mark * PRICE_DOWN).quantize(self.tick)))

    def check_notional(self, qty: Decimal, price: Decimal, reduce_only: bool) -> None:
        """Refuse an order too small to be worth matching, unless it reduces."""
        if not reduce_only and qty * price < self.min_notional:
            raise refuse(-4164, limit=text(self.min_notional))

    def bracket(self, notional: Decimal) -> Bracket:
        """The leverage step that a position's notional falls into."""
        return next((b for b in self.brackets if notional <= b.cap), self.brackets[-1])

    def maintenance(self, notional: Decimal) -> Decimal:
        """Maintenance margin of a position's notional, in USDT."""
        step = self.bracket(notional)
        return notional * step.rate - step.cum

    def rough_maintenance(self, notional: float) -> float:
        """The maintenance margin in floats, for the question asked at every tick."""
        return max(notional * rate - cum for rate, cum in self.rough_brackets)

    def max_notional(self, leverage: int) -> Decimal:
        """The largest position a leverage allows."""
        return max((b.cap for b in self.brackets if b.leverage >= leverage), default=Decimal(0))

    def describe(self, status: str) -> dict[str, Any]:
        """The symbol's entry of exchangeInfo."""
        tick, step = text(self.tick), text(self.step)
        return {
            "symbol": self.symbol, "pair": self.symbol, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
            "onboardDate": self.listed_ms, "status": status, "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000", "baseAsset": self.base, "quoteAsset": "USDT", "marginAsset": "USDT",
            "pricePrecision": self.price_scale, "quantityPrecision": self.qty_scale, "baseAssetPrecision": 8,
            "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": ["simulated"], "triggerProtect": "0.0500",
            "liquidationFee": "0.005000", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000,
            "orderTypes": ORDER_TYPES, "timeInForce": TIMES_IN_FORCE,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": text(self.max_qty), "stepSize": step},
                {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": text(self.max_qty), "stepSize": step},
                {"filterType": "MAX_NUM_ORDERS", "limit": 200},
                {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MAX_CONDITIONAL_ORDERS},
                {"filterType": "MIN_NOTIONAL", "notional": text(self.min_notional)},
                {"filterType": "PERCENT_PRICE", "multiplierUp": text(PRICE_UP), "multiplierDown": text(PRICE_DOWN),
                 "multiplierDecimal": "4"},
            ],
        }  # fmt: skip


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def rules_of(feed: Feed) -> SymbolRules:
    """The rules of a feed's symbol; the size grid follows the first price, so that a step is worth a few USDT."""
    base = feed.symbol.removesuffix("USDT")
    price = int(feed.columns.close[0]) / 10**feed.price_scale
    scale = next((n for n, least in ((3, 1000), (2, 100), (1, 10)) if price >= least), 0)
    least = Decimal(100) if base == "BTC" else Decimal(20) if base == "ETH" else Decimal(5)
    # The largest order is worth some ten million USDT, whatever a unit costs.
    max_qty = Decimal(10) ** max(3, 7 - math.floor(math.log10(price)))
    steps = _brackets(base)
    rough = tuple((float(b.rate), float(b.cum)) for b in steps)
    grid = feed.price_scale
    return SymbolRules(base + "USDT", base, grid, grid, scale, least, max_qty, steps, feed.first_ms, rough)
