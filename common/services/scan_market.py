"""signal.scan: candles to features to strategies to signals, one evaluation for every tenant that subscribes."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from uuid import UUID

from common.domain import features, strategies
from common.domain.errors import InvalidInput, NotFound
from common.domain.job import Job, Stage
from common.domain.market import EPOCH, Timeframe
from common.domain.parameter_version import digest_of, strategy_of
from common.domain.risk.limits import PROFILES, resolve
from common.domain.signal import Side, Signal
from common.domain.sources import MOOD_KNOWN_AFTER, MOOD_LASTS, Mood, with_mood
from common.domain.strategies import Columns, LastBar, Strategy, at_last_bar
from common.domain.tenant import Subscriber
from common.domain.timeframes import bases
from common.services.fleet import Fleet
from common.services.ingest_candles import has_looked_back, refill
from common.services.kept_markets import Key, Looked, Wishes
from common.store import Told, UnitOfWork, Wanted

log = logging.getLogger(__name__)

_SIDES = tuple(Side)
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
    scan, began_at = Scan.of(job), fleet.clock.now()
    wishes = uow.subscriptions.wanted(scan.venue, closed_at=scan.closed_at)
    wanted = _wanted(wishes, scan)
    every = {key: strategy for chosen in wanted.values() for key, strategy in chosen.items()}
    history = history_of(fleet, every.values())
    # A transaction that has read candles does not see a month that another one opens: the first look has one of its own.
    with fleet.store.unit_of_work(None) as first:
        looked = _look(fleet, first, scan, wanted)
    if looked.lacking or not has_looked_back(fleet, scan.venue, scan.symbols, scan.timeframe, history):
        refill(fleet, scan.venue, scan.symbols, scan.timeframe, scan.closed_at, history, _made_of(wishes, scan))
        looked = _look(fleet, uow, scan, wanted)
    traded = uow.instruments.traded(scan.venue, scan.symbols)
    opinions = _opinions(uow, scan, looked, {symbol: wanted[symbol] for symbol in scan.symbols if symbol in traded})
    _keep_leavings(uow, scan, opinions)
    signals = list(_signals(fleet, uow, scan, opinions))
    raise_signals(fleet, uow, signals, job.id)
    late = sorted(looked.lacking & traded)
    if late and began_at < scan.closed_at + fleet.clock.transport(fleet.policy.late_candle_s):
        _look_again(fleet, uow, job, late)
    return f"{len(signals)} signals from {len(scan.symbols)} instruments, {len(late)} without their last candle"


def _look_again(fleet: Fleet, uow: UnitOfWork, job: Job, late: list[str]) -> None:
    """Scan what had no last candle once more, for it may yet come: the venue was slow, or our clock leads."""
    now = fleet.clock.now()
    uow.jobs.add(
        Stage.SCAN,
        f"{job.key}:late",
        tenant_id=None,
        payload={**job.payload, "instruments": late},
        now=now,
        available_at=now + fleet.clock.transport(fleet.policy.look_again_s),
        expires_at=job.expires_at,
        correlation_id=job.correlation_id,
        causation_id=job.id,
    )


def _look(fleet: Fleet, uow: UnitOfWork, scan: Scan, wanted: Wishes) -> Looked:
    def read(asked: Sequence[tuple[str, int, int]]) -> Told:
        return uow.candles.told(scan.venue, asked, scan.timeframe, scan.closed_at)

    last_ms = (scan.closed_at - scan.timeframe.duration - EPOCH) // timedelta(milliseconds=1)
    return fleet.kept.look(scan.venue, scan.timeframe, wanted, last_ms, read, fleet.policy.kept_markets_max)


def _opinions(uow: UnitOfWork, scan: Scan, looked: Looked, wanted: Wishes) -> list[Opinion]:
    """Who may want to enter or leave now, by symbol in the order of `wanted` and by strategy in theirs."""
    said = {place: last for place, last in looked.said.items() if place[0] in wanted}
    told = _told(uow, scan, looked, wanted)
    for (symbol, key), count in looked.asked.items():
        if symbol in wanted:
            said[symbol, key] = at_last_bar(wanted[symbol][key], told[symbol].last(count))
    acting = {symbol for symbol, _ in said}
    return [
        (symbol, strategy, said[symbol, key])
        for symbol, chosen in wanted.items()
        if symbol in acting
        for key, strategy in chosen.items()
        if (symbol, key) in said
    ]


def _told(uow: UnitOfWork, scan: Scan, looked: Looked, wanted: Wishes) -> Mapping[str, Columns]:
    """The candles of those symbols that have to be asked about, with what strategies want to know beside them."""
    columns = {symbol: looked.columns[symbol] for symbol, _ in looked.asked if symbol in wanted}
    columns |= _with_snapshots(uow, scan, columns, wanted)
    moods = _moods(uow, columns, wanted)
    return {symbol: with_mood(found, moods) for symbol, found in columns.items()}


def _moods(uow: UnitOfWork, columns: Mapping[str, Columns], wanted: Wishes) -> Sequence[Mood]:
    """The index over the candles looked at, where a strategy asks for it."""
    theirs = [
        found
        for symbol, found in columns.items()
        if any(features.FEAR_GREED in strategy.features for strategy in wanted[symbol].values())
    ]
    if not theirs:
        return ()
    oldest = min(found.first_opened_at for found in theirs)
    newest = max(found.last_opened_at + found.timeframe.duration for found in theirs)
    return uow.moods.between(oldest - MOOD_LASTS - MOOD_KNOWN_AFTER, newest)


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


def _with_snapshots(uow: UnitOfWork, scan: Scan, columns: Mapping[str, Columns], wanted: Wishes) -> dict[str, Columns]:
    """The candles of those symbols of which a strategy asks what only market snapshots tell, with these beside them.

    A snapshot that is not there now will not be there for a replay either: the close is settled before it is read.
    """
    names: set[str] = set()
    theirs: dict[str, Columns] = {}
    for symbol, found in columns.items():
        asked = features.snapshot_features(name for strategy in wanted[symbol].values() for name in strategy.features)
        if asked:
            names.update(asked)
            theirs[symbol] = found
    if not theirs:
        return {}
    uow.snapshots.settle(scan.venue, list(theirs), scan.closed_at)
    known = uow.snapshots.series(scan.venue, theirs, sorted(names))
    return {symbol: found.knowing(known[symbol]) for symbol, found in theirs.items()}


def _wanted(wishes: Iterable[Wanted], scan: Scan) -> Wishes:
    # One strategy per parameter set, however many tenants have it.
    wanted: dict[str, dict[Key, Strategy]] = {symbol: {} for symbol in scan.symbols}
    for want in wishes:
        if want.timeframe == str(scan.timeframe):
            try:
                strategy = strategy_of(want.strategy, want.parameters, want.digest)
            except (NotFound, InvalidInput) as error:
                # A subscription may outlive its strategy, an approval its defaults; that must not silence the others.
                log.warning("not evaluated: %s", error)
                continue
            for symbol in wanted.keys() & want.instruments:
                wanted[symbol][strategy.name, strategy.version] = strategy
    return wanted


def _keep_leavings(uow: UnitOfWork, scan: Scan, opinions: Iterable[Opinion]) -> None:
    """Write down which positions of a strategy and its parameters should be left; monitors of all tenants read it."""
    said = [
        (symbol, strategy.name, digest_of(strategy.version), side)
        for symbol, strategy, last in opinions
        for side in _SIDES
        if strategies.leaves_at(last.entries, last.index, side)
    ]
    uow.leavings.add_all(scan.venue, said, scan.closed_at)


def _signals(fleet: Fleet, uow: UnitOfWork, scan: Scan, opinions: Iterable[Opinion]) -> Iterable[Signal]:
    entering = [opinion for opinion in opinions if opinion[2].entries.side[opinion[2].index] != 0]
    instruments = uow.instruments.some(scan.venue, {symbol for symbol, _, _ in entering}) if entering else {}
    timeframe = str(scan.timeframe)
    expires_in = fleet.expiry(scan.closed_at, scan.timeframe.duration) - scan.closed_at
    for symbol, strategy, last in entering:
        signal = strategies.signal_at(
            strategy,
            instruments[symbol],
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
