"""signal.scan: candles to features to strategies to signals, one evaluation for every tenant that subscribes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np

from common.domain import features, strategies
from common.domain.errors import InvalidInput, NotFound
from common.domain.job import Job, Stage
from common.domain.market import Instrument, InstrumentStatus, Timeframe
from common.domain.parameter_version import digest_of, strategy_of
from common.domain.risk.limits import PROFILES, resolve
from common.domain.signal import Side, Signal
from common.domain.sources import MOOD_KNOWN_AFTER, MOOD_LASTS, Mood, with_mood
from common.domain.strategies import Columns, Strategy
from common.domain.tenant import Subscriber
from common.domain.timeframes import bases
from common.services.fleet import Fleet
from common.services.ingest_candles import refill
from common.store import UnitOfWork, Wanted

log = logging.getLogger(__name__)


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
    history = history_of(fleet, (strategy for chosen in wanted.values() for strategy in chosen))
    made_of = _made_of(wishes, scan)
    refill(fleet, scan.venue, scan.symbols, scan.timeframe, scan.closed_at, history, made_of)
    columns = uow.candles.arrays(scan.venue, scan.symbols, str(scan.timeframe), scan.closed_at, history)
    columns |= _with_snapshots(uow, scan, columns, wanted)
    moods = _moods(uow, scan, wanted, history)
    gaps, found = 0, 0
    for symbol in scan.symbols:
        instrument = uow.instruments.get(scan.venue, symbol)
        if instrument is None or instrument.status is not InstrumentStatus.TRADING or symbol not in columns:
            continue
        if not _is_current(columns[symbol], scan):
            gaps += 1
            continue
        series = with_mood(columns[symbol], moods)
        for signal in _signals(fleet, uow, scan, instrument, series, wanted[symbol]):
            found += 1
            raise_signal(fleet, uow, signal, job.id)
    return f"{found} signals from {len(scan.symbols)} instruments, {gaps} without their last candle"


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


def _is_current(columns: Columns, scan: Scan) -> bool:
    last_opened_ms = int((scan.closed_at - scan.timeframe.duration).timestamp() * 1000)
    return bool(len(columns.opened_at)) and int(columns.opened_at[-1]) == last_opened_ms


def _keep_leavings(
    uow: UnitOfWork, scan: Scan, instrument: Instrument, strategy: Strategy, entries: strategies.Entries
) -> None:
    """Write down which positions of this strategy and its parameters should be left; monitors of all tenants read it."""
    last, digest = len(entries.side) - 1, digest_of(strategy.version)
    for side in Side:
        if strategies.leaves_at(entries, last, side):
            uow.leavings.add(scan.venue, instrument.symbol, strategy.name, side, scan.closed_at, digest=digest)


def _signals(
    fleet: Fleet, uow: UnitOfWork, scan: Scan, instrument: Instrument, columns: Columns, wanted: Iterable[Strategy]
) -> Iterable[Signal]:
    chosen = {(strategy.name, strategy.version): strategy for strategy in wanted}
    names = sorted({name for strategy in chosen.values() for name in strategy.features})
    values: Mapping[str, np.ndarray] = features.compute(names, columns)
    for strategy in chosen.values():
        entries = strategy.evaluate(values, columns)
        _keep_leavings(uow, scan, instrument, strategy, entries)
        signal = strategies.signal_at(
            strategy,
            instrument,
            scan.venue,
            str(scan.timeframe),
            values,
            columns,
            len(columns.opened_at) - 1,
            candle_closed_at=scan.closed_at,
            expires_in=fleet.expiry(scan.closed_at, scan.timeframe.duration) - scan.closed_at,
            entries=entries,
        )
        if signal is not None:
            yield signal


def raise_signal(fleet: Fleet, uow: UnitOfWork, signal: Signal, cause: UUID) -> None:
    """Keep `signal` and ask its subscribers' advisors, or their risk at once where no advisor is wanted or of use.

    Its subscribers are those whose parameters at the candle's close were the signal's own.
    The model is asked only for a profile of which at least one subscriber could act on the answer. From here on the
    signal's id correlates every job of its story.
    """
    if not uow.signals.add(signal):
        return
    now = fleet.clock.now()
    profiles: dict[str | None, list[Subscriber]] = defaultdict(list)
    for subscriber in uow.subscriptions.subscribers(
        signal.venue,
        signal.instrument,
        signal.timeframe,
        signal.strategy,
        now,
        digest=digest_of(signal.strategy_version),
        closed_at=signal.closed_at,
        max_positions=_position_caps(),
    ):
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


def _position_caps() -> dict[str, int]:
    caps = {name: resolve(name, {}).position_count_max for name in PROFILES}
    return {name: most for name, most in caps.items() if most is not None}


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
