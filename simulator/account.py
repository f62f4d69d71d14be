"""An account's book: wallet, one-way positions, leverage, and the margin that orders and positions bind."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from simulator.filters import SymbolRules
from simulator.money import ZERO, booked, text
from simulator.orders import Order

DEFAULT_LEVERAGE = 20


@dataclass(slots=True)
class Position:
    """A one-way position; `qty` is negative when short, `entry` is unrounded, `realized` is before fees."""

    symbol: str
    qty: Decimal = ZERO
    entry: Decimal = ZERO
    realized: Decimal = ZERO
    updated_ms: int = 0

    def apply(self, signed: Decimal, price: Decimal) -> Decimal:
        """Change the position by a fill; what it realized, in USDT before fees."""
        if self.qty * signed >= 0:
            total = self.qty + signed
            self.entry = (self.entry * abs(self.qty) + price * abs(signed)) / abs(total)
            self.qty = total
            return ZERO
        closed = min(abs(signed), abs(self.qty))
        realized = booked(closed * (price - self.entry) * (1 if self.qty > 0 else -1))
        self.qty += signed
        if self.qty == 0:
            self.entry = ZERO
        elif abs(signed) > closed:
            self.entry = price
        self.realized += realized
        return realized

    def unrealized(self, mark: Decimal) -> Decimal:
        """Profit that closing at the mark would bring, in USDT before fees."""
        return self.qty * (mark - self.entry)

    def reducible_by(self, is_buy: bool) -> Decimal:
        """How much an order of that side may take off it."""
        return abs(self.qty) if (self.qty < 0) == is_buy and self.qty else ZERO


@dataclass(slots=True)
class Account:
    """One tenant's account at the venue."""

    api_key: str
    api_secret: str
    wallet: Decimal
    created_ms: int
    updated_ms: int
    positions: dict[str, Position] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)
    listen_key: str = ""
    listen_key_until_ms: int = 0
    personality: str = ""  # empty: the venue's own

    def position(self, symbol: str) -> Position:
        """The position in a symbol, flat if there never was one."""
        return self.positions.setdefault(symbol, Position(symbol))

    def leverage(self, symbol: str) -> int:
        """The leverage set for a symbol."""
        return self.leverages.get(symbol, DEFAULT_LEVERAGE)

    def held(self) -> list[Position]:
        """The positions that are not flat."""
        return [p for p in self.positions.values() if p.qty]

    def dump(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        positions = [
            [p.symbol, str(p.qty), str(p.entry), str(p.realized), p.updated_ms] for p in self.positions.values()
        ]
        return {
            "api_key": self.api_key, "api_secret": self.api_secret, "wallet": str(self.wallet),
            "created_ms": self.created_ms, "updated_ms": self.updated_ms, "positions": positions,
            "leverages": self.leverages, "listen_key": self.listen_key, "listen_key_until_ms": self.listen_key_until_ms,
            "personality": self.personality,
        }  # fmt: skip

    @classmethod
    def load(cls, doc: dict[str, Any]) -> Self:
        """The account from its JSON."""
        positions = {s: Position(s, Decimal(q), Decimal(e), Decimal(r), at) for s, q, e, r, at in doc["positions"]}
        return cls(**{**doc, "wallet": Decimal(doc["wallet"]), "positions": positions})


@dataclass(frozen=True, slots=True)
class SymbolMargin:
    """What one symbol binds of an account: notionals and margins in USDT."""

    notional: Decimal
    unrealized: Decimal
    position_initial: Decimal
    order_initial: Decimal
    maintenance: Decimal
    bid_notional: Decimal
    ask_notional: Decimal

    @property
    def initial(self) -> Decimal:
        """Margin of position and orders together."""
        return self.position_initial + self.order_initial


@dataclass(frozen=True, slots=True)
class Margins:
    """An account's margin at an instant."""

    wallet: Decimal
    by_symbol: dict[str, SymbolMargin]

    def _sum(self, name: str) -> Decimal:
        return sum((getattr(m, name) for m in self.by_symbol.values()), ZERO)

    @property
    def unrealized(self) -> Decimal:
        """Profit not realized."""
        return self._sum("unrealized")

    @property
    def equity(self) -> Decimal:
        """Wallet and unrealized profit."""
        return self.wallet + self.unrealized

    @property
    def initial(self) -> Decimal:
        """Margin bound by positions and orders."""
        return self._sum("initial")

    @property
    def position_initial(self) -> Decimal:
        """Margin bound by positions."""
        return self._sum("position_initial")

    @property
    def order_initial(self) -> Decimal:
        """Margin bound by orders."""
        return self._sum("order_initial")

    @property
    def maintenance(self) -> Decimal:
        """Margin under which the account is liquidated."""
        return self._sum("maintenance")

    @property
    def available(self) -> Decimal:
        """What new orders may bind."""
        return max(ZERO, self.equity - self.initial)


def symbol_margin(
    position: Position, orders: Iterable[Order], leverage: int, mark: Decimal, rules: SymbolRules
) -> SymbolMargin:
    """What position and open orders of one symbol bind; the larger side counts, reducing orders do not."""
    notional = position.qty * mark
    bids = asks = ZERO
    for order in orders:
        if order.reduce_only or order.is_forced:
            continue
        worth = order.remaining * (order.price or mark)
        if order.is_buy:
            bids += worth
        else:
            asks += worth
    exposure = max(abs(notional + bids), abs(notional - asks))
    held = abs(notional) / leverage
    return SymbolMargin(
        notional, position.unrealized(mark), held, max(ZERO, exposure / leverage - held),
        rules.maintenance(abs(notional)) if notional else ZERO, bids, asks,
    )  # fmt: skip


def margins(
    account: Account,
    orders: Mapping[str, list[Order]],
    mark_of: Callable[[str], Decimal],
    rules: Mapping[str, SymbolRules],
) -> Margins:
    """The account's margin with its open orders by symbol."""
    symbols = {p.symbol for p in account.held()} | {s for s, some in orders.items() if some}
    return Margins(
        account.wallet,
        {
            s: symbol_margin(account.position(s), orders.get(s, ()), account.leverage(s), mark_of(s), rules[s])
            for s in sorted(symbols)
        },
    )


def liquidation_price(position: Position, book: Margins, rules: SymbolRules) -> str:
    """The mark at which the account would be liquidated if only this symbol moved, as text; "0" when none."""
    if not position.qty:
        return "0"
    own = book.by_symbol[position.symbol]
    others = book.equity - own.unrealized - (book.maintenance - own.maintenance)
    step = rules.bracket(abs(own.notional))
    side = 1 if position.qty > 0 else -1
    size = abs(position.qty)
    price = (size * position.entry * side - others - step.cum) / (size * (side - step.rate))
    return text(price.quantize(rules.tick)) if price > 0 else "0"
