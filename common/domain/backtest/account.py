"""The account of a backtest: wallet, what is held, and the record that risk looks at, event by event."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from common.domain.advice import AdvisorFallback
from common.domain.breaker import stop_rests, trip
from common.domain.making import maker
from common.domain.market import Instrument
from common.domain.money import ZERO
from common.domain.order import entry_order_id
from common.domain.position import CloseReason, Position, position_id
from common.domain.risk.book import Book, Environment, Exposure, Record, TradingState
from common.domain.risk.limits import Limits
from common.domain.signal import NAMESPACE, ExitPlan, LateId, Side
from common.domain.tenant import Account

RECENT = 50
"""Closed positions that streak and rates look at."""

MINIMUM_SAMPLE = 20
"""Closed positions below which no rate is given."""

_make_position = maker(Position)

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


def backtest_account(venue: str, profile: str) -> Account:
    """The one account of a backtest at `venue`."""
    tenant = uuid5(NAMESPACE, "backtest|tenant")
    account = uuid5(NAMESPACE, f"backtest|account|{venue}")
    return Account(account, tenant, "backtest", venue, Environment.BACKTEST, profile, is_reconciled=True)


@dataclass(slots=True, eq=False)
class Held:
    """One open position, as limits and exits look at it; the fleet's own Position is made of it where one is wanted.

    `price` is that of its entry and `paid` the fee of it; `notional`, `margin` and `risk` are what it counts as; `units`
    are signed base units and `entry` the price again, in floats.
    """

    account: Account
    instrument: Instrument
    market: int
    strategy: str
    signal_id: UUID
    side: Side
    leverage: int
    exits: ExitPlan
    quantity: Decimal
    price: Decimal
    opened_at: datetime
    opened_ms: int
    paid: Decimal = field(init=False)
    notional: Decimal = field(init=False)
    margin: Decimal = field(init=False)
    risk: Decimal = field(init=False)
    units: float = field(init=False)
    entry: float = field(init=False)

    def __post_init__(self) -> None:
        # As the store counts it: at its entry price, lost at its stop.
        price, stop, fee = self.price, self.exits.stop, self.instrument.taker_fee
        self.notional = notional = self.quantity * price
        self.paid = notional * fee
        self.margin = notional / self.leverage
        self.risk = self.quantity * (abs(price - stop) + fee * (price + stop))
        self.units, self.entry = float(self.quantity) * self.side.sign, float(price)

    @property
    def exposure(self) -> Exposure:
        """How it counts against limits."""
        return Exposure(
            instrument=self.instrument.symbol,
            strategy=self.strategy,
            side=self.side,
            quantity=self.quantity,
            notional=self.notional,
            margin=self.margin,
            is_position=True,
            account_id=self.account.id,
            risk=self.risk,
        )

    def unrealised(self, mark: Decimal) -> Decimal:
        """Its profit at price `mark`, before closing costs."""
        return (mark - self.price) * self.quantity * self.side.sign

    def opened(self) -> Position:
        """The position while it is held."""
        return Position(**self._entered(), quantity=self.quantity)

    def closed(self, price: Decimal, fee: Decimal, funding: Decimal, reason: CloseReason, now: datetime) -> Position:
        """The position once it was left at `price` at `now`."""
        return _make_position(
            **self._entered(),
            exit_price=price,
            gross_profit=self.unrealised(price),
            fees=self.paid + fee,
            funding=funding,
            closed_at=now,
            close_reason=reason,
        )

    def _entered(self) -> dict[str, Any]:
        """What a position has had since it was entered."""
        return {
            "id": self.position_id(),
            "tenant_id": self.account.tenant_id,
            "account_id": self.account.id,
            "venue": self.account.venue,
            "instrument": self.instrument.symbol,
            "side": self.side,
            "strategy": self.strategy,
            "signal_id": self.signal_id,
            "leverage": self.leverage,
            "exits": self.exits,
            "opened_quantity": self.quantity,
            "entry_price": self.price,
            "best_price": self.price,
            "opened_at": self.opened_at,
        }

    def position_id(self) -> UUID:
        """Two digests, of which most runs never look at one."""
        account, cause = self.account, self.signal_id
        return LateId(lambda: position_id(entry_order_id(account.tenant_id, account.id, cause)))


class Ledger:
    """Wallet, open positions and record of one account; every figure exact, in the settle asset."""

    def __init__(self, account: Account, equity: Decimal, limits: Limits) -> None:
        self.account = account
        self.limits = limits
        self.wallet = equity
        self.open: dict[Held, None] = {}
        self.notional = self.margin = self.risk = ZERO
        self.by_strategy: dict[str, Decimal] = {}
        self.peak = equity
        self.day: int | None = None
        self.day_start_equity = equity
        self.realised_today = ZERO
        self.paid = ZERO
        self.recent: deque[Decimal] = deque(maxlen=RECENT)
        self.recent_sum = ZERO
        self.recent_squares = ZERO
        self.recent_wins = 0
        self.streak = 0
        self.cooling_until: datetime | None = None
        self.cooling_reason = ""
        self.symbol_cooling: dict[str, datetime] = {}
        self.orders: deque[datetime] = deque()
        self.trips = 0

    def is_new_day(self, now: datetime) -> bool:
        """Whether `now` is in another UTC day than the last event."""
        return now.toordinal() != self.day

    def begin_day(self, now: datetime, equity: Decimal) -> None:
        """Start the books of the UTC day of `now` at `equity`: what was earned before is no longer today's."""
        self.day, self.day_start_equity, self.realised_today = now.toordinal(), equity, ZERO

    def observe(self, equity: Decimal) -> None:
        """Remember `equity` when it is the highest since the last cool-down."""
        self.peak = max(self.peak, equity)

    def add(self, held: Held) -> None:
        """A position was opened: its entry fee is paid and it counts from now on."""
        self.open[held] = None
        self.wallet -= held.paid
        self.paid += held.paid
        self.notional += held.notional
        self.margin += held.margin
        self.risk += held.risk
        self.by_strategy[held.strategy] = self.by_strategy.get(held.strategy, ZERO) + held.notional

    def close(self, held: Held, closed: Position, now: datetime) -> None:
        """A position was closed at `now`: its result is booked. Call `look` afterwards."""
        del self.open[held]
        self.notional -= held.notional
        self.margin -= held.margin
        self.risk -= held.risk
        self.by_strategy[held.strategy] -= held.notional
        net = closed.net_profit
        self.wallet += net + held.paid
        self.paid -= held.paid
        self.realised_today += net
        # Results during a cool-down are forgiven, as those before it are.
        if self.cooling_until is None or now > self.cooling_until:
            self._learn(net)
        for symbol, rest in stop_rests(closed, self.limits).items():
            self.symbol_cooling[symbol] = now + rest

    def _learn(self, net: Decimal) -> None:
        if len(self.recent) == RECENT:
            gone = self.recent[0]
            self.recent_sum -= gone
            self.recent_squares -= gone * gone
            self.recent_wins -= gone > ZERO
        self.recent.append(net)
        self.recent_sum += net
        self.recent_squares += net * net
        self.recent_wins += net > ZERO
        # As the store counts it: the streak is over the recent results only.
        self.streak = min(self.streak + 1, RECENT) if net < ZERO else 0

    def look(self, now: datetime, unrealised: Decimal) -> None:
        """Let the breaker look at the record after a close; `unrealised` is the profit of what is still held."""
        tripped = trip(self.record(now, unrealised), self.limits, now)
        if tripped is None or (self.cooling_until is not None and self.cooling_until >= tripped.until):
            return
        self.cooling_until, self.cooling_reason = tripped.until, tripped.rule.value
        self.trips += 1
        self.recent.clear()
        self.recent_sum = self.recent_squares = ZERO
        self.recent_wins = self.streak = 0
        self.peak = self.wallet + unrealised

    def record(self, now: datetime, unrealised: Decimal) -> Record:
        """Recent results as the judges see them at `now`."""
        count = len(self.recent)
        is_enough = count >= MINIMUM_SAMPLE
        minute, hour = self.rates(now)
        return Record(
            day_profit=self.realised_today - self.paid + unrealised,
            day_start_equity=self.day_start_equity,
            peak_equity=max(self.peak, self.wallet + unrealised),
            consecutive_losses=self.streak,
            closed_trades=count,
            win_rate=Decimal(self.recent_wins) / count if is_enough else None,
            sharpe=self.sharpe() if is_enough else None,
            cooling_until=self.cooling_until,
            cooling_reason=self.cooling_reason,
            symbol_cooling_until={name: until for name, until in self.symbol_cooling.items() if until > now},
            orders_last_minute=minute,
            orders_last_hour=hour,
        )

    def sharpe(self) -> Decimal | None:
        """Mean over sample deviation of the recent results; None where they do not vary."""
        count = len(self.recent)
        mean = self.recent_sum / count
        variance = (self.recent_squares - mean * self.recent_sum) / (count - 1)
        return mean / variance.sqrt() if variance > ZERO else None

    def ordered(self, now: datetime) -> None:
        """An order was sent at `now`."""
        self.orders.append(now)

    def rates(self, now: datetime) -> tuple[int, int]:
        """Orders of the last minute and of the last hour."""
        orders = self.orders
        while orders and orders[0] <= now - _HOUR:
            orders.popleft()
        minute = 0
        for instant in reversed(orders):
            if instant <= now - _MINUTE:
                break
            minute += 1
        return minute, len(orders)

    def book(self, now: datetime, unrealised: Decimal) -> Book:
        """Everything the judges know of the account at `now`; `unrealised` is the profit of what is held."""
        equity = self.wallet + unrealised
        return Book(
            tenant_id=self.account.tenant_id,
            account_id=self.account.id,
            environment=Environment.BACKTEST,
            tenant_state=TradingState.ACTIVE,
            equity=equity,
            available=equity - self.margin,
            exposures=tuple(held.exposure for held in self.open),
            record=self.record(now, unrealised),
            halts=(),
            halt_epoch=0,
            live_allowed=False,
            is_reconciled=True,
            quarantined=frozenset(),
            on_advisor_unavailable=AdvisorFallback.TECHNICAL,
            advisor_required=False,
        )
