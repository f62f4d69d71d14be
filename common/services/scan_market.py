"""signal.scan: candles to features to strategies to signals, one evaluation for every tenant that subscribes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from uuid import UUID

from common.domain import features, strategies
from common.domain.errors import InvalidInput, NotFound
from common.domain.job import Job, Stage
from common.domain.market import Instrument, InstrumentStatus, Timeframe
from common.domain.parameter_version import digest_of, strategy_of
from common.domain.risk.limits import PROFILES, resolve
from common.domain.signal import Side, Signal
from common.domain.sources import MOOD_KNOWN_AFTER, MOOD_LASTS, Mood, with_mood
from common.domain.strategies import Columns, Features, LastBar, Strategy, last_bars, seen_at_last_bar
from common.domain.tenant import Subscriber
from common.domain.timeframes import bases
from common.services.fleet import Fleet
from common.services.ingest_candles import has_looked_back, refill
from common.store import UnitOfWork, Wanted

log = logging.getLogger(__name__)

Market = tuple[Instrument, Features, Columns]
Opinion = tuple[str, Strategy, LastBar]
"""What a strategy says of a symbol."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan looks at."""

    venue: str
    timeframe: Timeframe
    symbols: Sequence[str]
    closed_at: datetime

    @classmethod
    def of(cls, job: Job) -> Scan:
        """The scan a job's payload names."""
        return cls(
            job.payload["venue"],
            Timeframe.parse(job.payload["timeframe"]),
            job.payload["instruments"],
            datetime.fromisoformat(job.payload["closed_at"]),
        )


def scan_market(fleet: Fleet, uow: UnitOfWork, job: Job) -> str:
    """Evaluate every wanted strategy on every instrument of the scan at its closed candle and hand the signals on."""
    scan = Scan.of(job)
    wishes = uow.subscriptions.wanted(scan.venue, closed_at=scan.closed_at)
    wanted = _wanted(wishes, scan)
    every = {(item.name, item.version): item for chosen in wanted.values() for item in chosen}
    history = history_of(fleet, every.values())
    made_of = _made_of(wishes, scan)
    # A transaction that has read candles does not see a month that another one opens: the first look has one of its own.
    with fleet.store.unit_of_work(None) as look:
        columns = look.candles.arrays(scan.venue, scan.symbols, scan.timeframe, scan.closed_at, history)
    if not _is_whole(fleet, scan, columns, history):
        refill(fleet, scan.venue, scan.symbols, scan.timeframe, scan.closed_at, history, made_of)
        columns = uow.candles.arrays(scan.venue, scan.symbols, scan.timeframe, scan.closed_at, history)
    columns |= _with_snapshots(uow, scan, columns, wanted)
    moods = _moods(uow, scan, wanted, history)
    known = uow.instruments.some(scan.venue, scan.symbols)
    gaps = 0
    markets: dict[str, Market] = {}
    for symbol in scan.symbols:
        instrument = known.get(symbol)
        if instrument is None or instrument.status is not InstrumentStatus.TRADING or symbol not in columns:
            continue
        if not _is_current(columns[symbol], scan):
            gaps += 1
            continue
        series = with_mood(columns[symbol], moods)
        markets[symbol] = instrument, seen_at_last_bar(wanted[symbol], series), series
    opinions = _opinions(markets, wanted)
    _keep_leavings(uow, scan, opinions)
    signals = list(_signals(fleet, scan, markets, opinions))
    raise_signals(fleet, uow, signals, job.id)
    return f"{len(signals)} signals from {len(scan.symbols)} instruments, {gaps} without their last candle"


def _moods(uow: UnitOfWork, scan: Scan, wanted: Mapping[str, list[Strategy]], history: int) -> Sequence[Mood]:
    """The index over the candles looked at, where a strategy asks for it."""
    if not any(features.FEAR_GREED in strategy.features for chosen in wanted.values() for strategy in chosen):
        return ()
    oldest = scan.closed_at - scan.timeframe.duration * history
    return uow.moods.between(oldest - MOOD_LASTS - MOOD_KNOWN_AFTER, scan.closed_at)


def history_of(fleet: Fleet, wanted: Iterable[Strategy]) -> int:
    """Candles to look at, so that no answer depends on where they begin: the backtest gives the same."""
    return max((strategy.history for strategy in wanted), default=fleet.policy.history_candles)


def _made_of(wishes: Iterable[Wanted], scan: Scan) -> Mapping[str, Timeframe]:
    """Symbols of the scan whose candles are made of shorter ones that somebody wants as well, and which."""
    frames: dict[str, set[Timeframe]] = defaultdict(lambda: {scan.timeframe})
    for want in wishes:
        timeframe = Timeframe.parse(want.timeframe)
        for symbol in want.instruments:
            frames[symbol].add(timeframe)
    found = {symbol: bases(frames[symbol])[scan.timeframe] for symbol in scan.symbols}
    return {symbol: base for symbol, base in found.items() if base != scan.timeframe}


def _with_snapshots(
    uow: UnitOfWork, scan: Scan, columns: Mapping[str, Columns], wanted: Mapping[str, list[Strategy]]
) -> dict[str, Columns]:
    """The candles of those symbols of which a strategy asks what only market snapshots tell, with these beside them.

    A snapshot that is not there now will not be there for a replay either: the close is settled before it is read.
    """
    names: set[str] = set()
    theirs: dict[str, Columns] = {}
    for symbol, found in columns.items():
        asked = features.snapshot_features(name for strategy in wanted.get(symbol, ()) for name in strategy.features)
        if asked and _is_current(found, scan):
            names.update(asked)
            theirs[symbol] = found
    if not theirs:
        return {}
    uow.snapshots.settle(scan.venue, list(theirs), scan.closed_at)
    known = uow.snapshots.series(scan.venue, theirs, sorted(names))
    return {symbol: found.knowing(known[symbol]) for symbol, found in theirs.items()}


def _wanted(wishes: Iterable[Wanted], scan: Scan) -> Mapping[str, list[Strategy]]:
    # One strategy per parameter set, however many tenants have it.
    wanted: dict[str, list[Strategy]] = defaultdict(list)
    for want in wishes:
        if want.timeframe == str(scan.timeframe):
            try:
                strategy = strategy_of(want.strategy, want.parameters, want.digest)
            except (NotFound, InvalidInput) as error:
                # A subscription may outlive its strategy, an approval its defaults; that must not silence the others.
                log.warning("not evaluated: %s", error)
                continue
            for symbol in want.instruments:
                wanted[symbol].append(strategy)
    return wanted


def _is_whole(fleet: Fleet, scan: Scan, columns: Mapping[str, Columns], history: int) -> bool:
    """Whether a refill would find nothing to ask for: usually the stream has brought the last candle already."""
    has_history = has_looked_back(fleet, scan.venue, scan.symbols, scan.timeframe, history)
    return has_history and all(_is_current(columns[symbol], scan) for symbol in scan.symbols)


def _is_current(columns: Columns, scan: Scan) -> bool:
    last_opened_ms = int((scan.closed_at - scan.timeframe.duration).timestamp() * 1000)
    return bool(len(columns.opened_at)) and int(columns.opened_at[-1]) == last_opened_ms


def _opinions(markets: Mapping[str, Market], wanted: Mapping[str, list[Strategy]]) -> list[Opinion]:
    """What every wanted strategy says of every market at its last bar, by symbol in the order of `markets`."""
    chosen: dict[tuple[str, str], Strategy] = {}
    theirs: dict[tuple[str, str], dict[str, tuple[Features, Columns]]] = defaultdict(dict)
    for symbol, (_, values, columns) in markets.items():
        for strategy in wanted[symbol]:
            key = strategy.name, strategy.version
            chosen[key] = strategy
            theirs[key][symbol] = values, columns
    said = {
        (symbol, key): last
        for key, strategy in chosen.items()
        for symbol, last in zip(theirs[key], last_bars(strategy, list(theirs[key].values())), strict=True)
    }
    keys = {symbol: dict.fromkeys((item.name, item.version) for item in wanted[symbol]) for symbol in markets}
    return [(symbol, chosen[key], said[symbol, key]) for symbol in markets for key in keys[symbol]]


def _keep_leavings(uow: UnitOfWork, scan: Scan, opinions: Iterable[Opinion]) -> None:
    """Write down which positions of a strategy and its parameters should be left; monitors of all tenants read it."""
    said = [
        (symbol, strategy.name, digest_of(strategy.version), side)
        for symbol, strategy, last in opinions
        for side in Side
        if strategies.leaves_at(last.entries, last.index, side)
    ]
    uow.leavings.add_all(scan.venue, said, scan.closed_at)


def _signals(fleet: Fleet, scan: Scan, markets: Mapping[str, Market], opinions: Iterable[Opinion]) -> Iterable[Signal]:
    timeframe = str(scan.timeframe)
    expires_in = fleet.expiry(scan.closed_at, scan.timeframe.duration) - scan.closed_at
    for symbol, strategy, last in opinions:
        signal = strategies.signal_at(
            strategy,
            markets[symbol][0],
            scan.venue,
            timeframe,
            last.features,
            last.columns,
            last.index,
            candle_closed_at=scan.closed_at,
            expires_in=expires_in,
            entries=last.entries,
        )
        if signal is not None:
            yield signal


def raise_signal(fleet: Fleet, uow: UnitOfWork, signal: Signal, cause: UUID) -> None:
    """As `raise_signals` for one."""
    raise_signals(fleet, uow, [signal], cause)


def raise_signals(fleet: Fleet, uow: UnitOfWork, signals: Sequence[Signal], cause: UUID) -> None:
    """Keep `signals` and ask their subscribers' advisors, or their risk at once where no advisor is wanted or of use.

    Subscribers of one are those whose parameters at the candle's close were the signal's own.
    The model is asked only for a profile of which at least one subscriber could act on the answer. From here on the
    signal's id correlates every job of its story.
    """
    new = uow.signals.add_all(signals)
    now = fleet.clock.now()
    subscribers = uow.subscriptions.subscribers_of(
        new, {signal.id: digest_of(signal.strategy_version) for signal in new}, now, max_positions=_position_caps()
    )
    for signal in new:
        _ask(uow, signal, subscribers[signal.id], now, cause)


def _ask(uow: UnitOfWork, signal: Signal, everybody: Iterable[Subscriber], now: datetime, cause: UUID) -> None:
    profiles: dict[str | None, list[Subscriber]] = defaultdict(list)
    for subscriber in everybody:
        profiles[subscriber.advisor].append(subscriber)
    for profile, subscribers in profiles.items():
        if profile is not None and any(subscriber.can_act for subscriber in subscribers):
            uow.jobs.add(
                Stage.CONFIRM,
                f"confirm:{signal.id}:{profile}",
                tenant_id=None,
                payload={"signal_id": str(signal.id), "advisor": profile},
                now=now,
                expires_at=signal.expires_at,
                correlation_id=signal.id,
                causation_id=cause,
            )
        else:
            ask_risk(uow, signal, subscribers, None, now, cause)


@cache
def _position_caps() -> Mapping[str, int]:
    caps = {name: resolve(name, {}).position_count_max for name in PROFILES}
    return MappingProxyType({name: most for name, most in caps.items() if most is not None})


def ask_risk(
    uow: UnitOfWork,
    signal: Signal,
    subscribers: Iterable[Subscriber],
    advice: UUID | None,
    now: datetime,
    cause: UUID,
) -> int:
    """Add one risk job per subscriber; returns how many there are. They have no expiry: risk records that itself."""
    count = 0
    for subscriber in subscribers:
        uow.jobs.add(
            Stage.EVALUATE,
            f"risk:{subscriber.tenant_id}:{subscriber.account_id}:{signal.id}",
            tenant_id=subscriber.tenant_id,
            payload={
                "signal_id": str(signal.id),
                "account_id": str(subscriber.account_id),
                "advice_id": str(advice) if advice else None,
            },
            now=now,
            correlation_id=signal.id,
            causation_id=cause,
        )
        count += 1
    return count
