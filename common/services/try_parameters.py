"""One trial: a strategy with other parameters on a stretch of candles that were loaded once, as a backtest would run it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from common.domain.backtest import BacktestMarket, run
from common.domain.backtest.measured import measure
from common.domain.errors import InvalidInput
from common.domain.features import COLUMN_NAMES
from common.domain.market import EPOCH
from common.domain.search import Objective, Outcome, Values, value_of
from common.domain.strategies import Strategy
from common.ports.recorded import RecordedCandles
from common.services.run_backtest import Wishes, backtest_setup, chosen_strategy, load_markets, warm_up

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Bench:
    """What trials are made on: candles from the first there is (any warm-up finds its own), and everything that stays.

    A trial with fewer than `trades_min` trades has no value: what seldom trades is lucky or not, but not measured.
    """

    markets: tuple[BacktestMarket, ...]
    wishes: Wishes
    objective: Objective = Objective.SHARPE
    trades_min: int = 1

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From the first moment that may be traded to the end of the last candle."""
        since, _ = self.wishes.window
        first = min(market.opened_at(0) for market in self.markets)
        last = max(market.closed_at(len(market) - 1) for market in self.markets)
        return first if since is None else max(first, since), last

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that differ when any candle, price grid, fee or funding rate differs."""
        found = hashlib.sha256()
        for market in self.markets:
            found.update(repr(market.instrument).encode())
            arrays = [getattr(market.columns, name) for name in COLUMN_NAMES]
            arrays += [] if market.funding is None else [market.funding.due_at, market.funding.rates]
            for array in arrays:
                found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]


def load_bench(source: RecordedCandles, wishes: Wishes, objective: Objective, trades_min: int) -> Bench:
    """The bench of `wishes`; raises as `load_markets` does."""
    strategy = chosen_strategy(wishes)
    # The warm-up follows from the parameters, and those are what is searched: everything before the window is loaded.
    load_markets(source, wishes, strategy)
    early = replace(wishes, since=EPOCH, until=wishes.window[1])
    return Bench(load_markets(source, early, strategy), wishes, objective, trades_min)


def attempt(bench: Bench, values: Values, since: datetime | None, until: datetime | None) -> Outcome:
    """What the bench's strategy with `values` comes to from `since` up to `until`, as `backtest run` would answer."""
    wishes = replace(bench.wishes, parameters={**bench.wishes.parameters, **values}, since=since, until=until)
    try:
        strategy = chosen_strategy(wishes)
    except InvalidInput as error:
        # Bounds hold each value; what must hold between them only the strategy knows.
        return Outcome(refused=str(error))
    markets = tuple(part for market in bench.markets if (part := _cut(market, wishes, strategy)) is not None)
    if not markets:
        return Outcome(refused=f"no candles from {since} to {until}")
    measured, daily = measure(run(backtest_setup(markets, wishes, strategy)))
    value = value_of(bench.objective, measured) if measured.trades >= bench.trades_min else None
    return Outcome(value, measured, None, daily)


def _cut(market: BacktestMarket, wishes: Wishes, strategy: Strategy) -> BacktestMarket | None:
    """`market` in the window with what warms up before it; None without a candle in the window."""
    since, until = wishes.window
    opened = market.columns.opened_at
    early = warm_up(wishes, strategy, market.columns.timeframe)
    last = len(market) if until is None else int(np.searchsorted(opened, (until - EPOCH) // _MS))
    if since is None:
        return _part(market, 0, last)
    if last == 0 or opened[last - 1] < (since - EPOCH) // _MS:
        return None
    return _part(market, int(np.searchsorted(opened, (since - early - EPOCH) // _MS)), last)


def _part(market: BacktestMarket, first: int, last: int) -> BacktestMarket | None:
    return (
        BacktestMarket(market.instrument, market.columns.slice(first, last), market.funding) if last > first else None
    )
