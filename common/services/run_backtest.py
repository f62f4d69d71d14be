"""A backtest as people ask for it: names, dates and rates in, markets, setup and figures out; no fleet needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from common.domain import strategies
from common.domain.backtest import Assumptions, BacktestMarket, Counsel, Curve, Result, Setup, excursions, figures
from common.domain.backtest.market import with_fees
from common.domain.backtest.reference import NAME, PROFILE, WINDOW, reference_setup
from common.domain.errors import InvalidInput
from common.domain.features import snapshot_features
from common.domain.market import EPOCH, Instrument, Timeframe
from common.domain.money import BPS
from common.domain.performance import Report
from common.domain.recording import Recording, chosen
from common.domain.risk.limits import resolve
from common.domain.strategies import Strategy
from common.ports.recorded import RecordedCandles
from common.services.figures import stats

WARMUP_SPARE = 120
"""Candles before the strategy's own history that the rules of risk look at: the median of the ATR over 100 bars."""

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for; None = the default. Rates in basis points, `profile` a risk profile by name.

    Without a profile the reference strategy runs under the reference's own rules, costs, fills and window, every other
    strategy under `standard`.
    """

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    symbols: Sequence[str] = ()
    timeframe: Timeframe | None = None
    since: datetime | None = None
    until: datetime | None = None
    profile: str | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    equity: Decimal = Decimal(10_000)
    fee_bps: Decimal | None = None
    slippage_bps: Decimal | None = None
    spread_bps: Decimal | None = None
    latency: timedelta = timedelta(0)

    @property
    def is_reference(self) -> bool:
        """Whether the reference by which engines are compared is meant."""
        return self.strategy == NAME and self.profile is None and not self.limits

    @property
    def window(self) -> tuple[datetime | None, datetime | None]:
        """Candles to trade on: from (inclusive) and to (exclusive)."""
        if self.is_reference and self.since is None and self.until is None:
            return WINDOW
        return self.since, self.until


def load_markets(source: RecordedCandles, wishes: Wishes, strategy: Strategy) -> tuple[BacktestMarket, ...]:
    """The markets that are meant, with the candles before the window that strategy and rules warm up on.

    The reference has none before its window, as its peers. Raises InvalidInput where nothing or twice the same is found.
    """
    recordings = chosen(source.recordings(), wishes.symbols, wishes.timeframe)
    _check(recordings, wishes, source)
    since, until = wishes.window
    markets, asked = [], snapshot_features(strategy.features)
    for recording in recordings:
        early = warm_up(wishes, strategy, recording.timeframe)
        columns = source.columns(recording, None if since is None else since - early, until)
        instrument = source.instrument(recording)
        # Candles before the window alone are nothing to trade on.
        if len(columns) and (since is None or columns.opened_at[-1] >= (since - EPOCH) // _MS):
            if asked:
                columns = columns.knowing(source.observed(recording, columns, asked))
            markets.append(BacktestMarket(priced(instrument, wishes), columns, source.funding(recording)))
    if not markets:
        raise InvalidInput("window", f"{since} to {until}", "a time of which there are candles")
    return tuple(markets)


def warm_up(wishes: Wishes, strategy: Strategy, timeframe: Timeframe) -> timedelta:
    """How long before the window candles are wanted."""
    return timedelta(0) if wishes.is_reference else timeframe.duration * (strategy.history + WARMUP_SPARE)


def _check(recordings: Sequence[Recording], wishes: Wishes, source: RecordedCandles) -> None:
    if not recordings:
        there = sorted({f"{item.symbol} {item.timeframe}" for item in source.recordings()})
        raise InvalidInput("instruments", ", ".join(wishes.symbols) or "all", f"some of: {', '.join(there) or 'none'}")
    frames = sorted({item.timeframe for item in recordings})
    if len(frames) > 1:
        raise InvalidInput("timeframe", ", ".join(map(str, frames)), "one of them: --timeframe 5m")
    twice = [item.name for item in recordings if sum(other.symbol == item.symbol for other in recordings) > 1]
    if twice:
        raise InvalidInput("data", ", ".join(twice), "one file for each instrument: name the folder that is meant")


def priced(instrument: Instrument, wishes: Wishes) -> Instrument:
    """`instrument` at the fees that were asked for; the reference knows none."""
    if wishes.fee_bps is not None:
        fee = wishes.fee_bps / BPS
        return with_fees(instrument, fee, fee)
    return with_fees(instrument, Decimal(0), Decimal(0)) if wishes.is_reference else instrument


def chosen_strategy(wishes: Wishes) -> Strategy:
    """The strategy that is meant; raises NotFound or InvalidInput naming what there is."""
    return strategies.get(wishes.strategy, wishes.parameters)


def backtest_setup(
    markets: tuple[BacktestMarket, ...], wishes: Wishes, strategy: Strategy, counsel: Counsel | None = None
) -> Setup:
    """The setup that was asked for; with `counsel` entries want the confirmation that its answers give or refuse."""
    if wishes.is_reference:
        setup = reference_setup(markets, strategy)
        return replace(setup, assumptions=_assumed(setup.assumptions, wishes), counsel=counsel)
    return Setup(
        markets=markets,
        strategies=(strategy,),
        limits=resolve(wishes.profile or "standard", wishes.limits),
        equity=wishes.equity,
        assumptions=_assumed(Assumptions(), wishes),
        expires_in=markets[0].columns.timeframe.duration,
        start=wishes.since,
        profile=wishes.profile or "standard",
        counsel=counsel,
    )


def _assumed(assumptions: Assumptions, wishes: Wishes) -> Assumptions:
    changes: dict[str, Any] = {"latency": wishes.latency} if wishes.latency else {}
    for name in ("slippage_bps", "spread_bps"):
        value = getattr(wishes, name)
        if value is not None:
            changes[name] = value
    return replace(assumptions, **changes)


def traded_candles(setup: Setup) -> int:
    """Candles of all markets that open in the window."""
    if setup.start is None:
        return sum(len(market) for market in setup.markets)
    first = setup.start.timestamp() * 1000
    return sum(int((market.columns.opened_at >= first).sum()) for market in setup.markets)


def document(result: Result, found: Curve) -> dict[str, Any]:
    """Everything `result` came to, as plain values for JSON; decimals are left as they are. `found` is its curve."""
    setup, performance = result.setup, figures(result, found)
    first = min(int(market.columns.opened_at[0]) for market in setup.markets)
    last = max(int(market.columns.opened_at[-1]) + market.step_ms for market in setup.markets)
    (strategy,) = setup.strategies
    return {
        "strategy": strategy.name,
        "version": strategy.version,
        "profile": setup.profile,
        "instruments": [market.instrument.symbol for market in setup.markets],
        "timeframe": str(setup.markets[0].columns.timeframe),
        "from": setup.start or datetime.fromtimestamp(first / 1000, UTC),
        "to": datetime.fromtimestamp(last / 1000, UTC),
        "candles": traded_candles(setup),
        "signals": len(result.decisions),
        "outcomes": result.outcomes,
        "judged_in_full": result.judged,
        "unanswered": result.unanswered,
        "breaker_trips": result.breaker_trips,
        **_flat(performance),
        "equity": setup.equity,
        "final_equity": result.final_equity,
        "max_drawdown_at_closes": found.max_drawdown,
        "exposure": _exposure(found),
        "excursions": _excursions(result),
        # The reference's limits are set where nothing meets them: nothing could be held against its trades by them.
        "blunders": None if setup.profile == PROFILE else _blunders(result),
        "by_symbol": {name: stats(item) for name, item in performance.by_symbol.items()},
        "by_exit": {name: stats(item) for name, item in performance.by_exit.items()},
    }


def _blunders(result: Result) -> dict[str, Any]:
    from common.services.review_backtest import blunders

    return blunders(result)


def _flat(performance: Report) -> dict[str, Any]:
    curve = performance.curve
    return {
        **stats(performance.trades),
        "total_return": curve.total_return,
        "sharpe": curve.sharpe,
        "sortino": curve.sortino,
        "max_drawdown": curve.max_drawdown,
        "days": curve.days,
    }


def _exposure(found: Curve) -> dict[str, float]:
    share = found.exposure / found.equity
    return {
        "mean": float(share.mean()),
        "max": float(share.max()),
        "time_in_market": float((found.exposure > 0).mean()),
    }


def _excursions(result: Result) -> dict[str, Any]:
    pairs = excursions(result)
    if not pairs:
        return {"mae_mean": None, "mae_max": None, "mfe_mean": None, "mfe_max": None}
    adverse, favourable = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return {
        "mae_mean": sum(adverse) / len(adverse),
        "mae_max": max(adverse),
        "mfe_mean": sum(favourable) / len(favourable),
        "mfe_max": max(favourable),
    }
