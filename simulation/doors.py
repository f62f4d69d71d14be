"""Doors that fail: store, bus, venue and advisor as the services see them, with the hub behind every call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.errors import OutcomeUnknown, Transient
from common.domain.job import JobRef
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from common.store import Store
from simulation.hub import Hub, Moment
from simulation.record import TAPS, Change
from simulation.venue import FaultDraw, PlaceFault

Committed = Callable[[list[Change]], None]


class StoreDoor:
    """The store; a transaction may find the database down, die before or after its commit, or lose the answer."""

    def __init__(self, store: Store, hub: Hub, committed: Committed) -> None:
        self._store, self._hub, self._committed = store, hub, committed

    def unit_of_work(self, tenant_id: UUID | None) -> Any:
        """A transaction whose commit is a door."""
        if self._hub.happens("database_down"):
            raise Transient("connection refused")
        return _UnitDoor(self._store.unit_of_work(tenant_id), self._hub, self._committed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _UnitDoor:
    def __init__(self, unit: Any, hub: Hub, committed: Committed) -> None:
        self._unit, self._hub, self._committed = unit, hub, committed
        self._changes: list[Change] = []

    def __enter__(self) -> Self:
        self._unit.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unit.__exit__(kind, error, trace)

    def commit(self) -> list[JobRef]:
        """Commit, unless the worker dies first; the answer may get lost, and nobody may pause before it is in."""
        self._hub.point("commit", Moment.BEFORE, may_pause=False)
        if self._hub.happens("commit_lost", 0.5, "connection_cut_before_commit"):
            raise Transient("server closed the connection")
        refs: list[JobRef] = self._unit.commit()
        self._committed(self._changes)
        if self._hub.happens("commit_lost", 1.0, "commit_answer_lost"):
            raise OutcomeUnknown("the connection was lost during COMMIT")
        self._hub.point("commit", Moment.AFTER)
        return refs

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._unit, name)
        if self._hub.happens("connection_cut"):
            raise Transient("server closed the connection")
        taps = TAPS.get(name)
        return attribute if taps is None else _Tapped(attribute, taps, self._changes)


class _Tapped:
    """A repository whose successful writes are noted, to be believed once the transaction is committed."""

    def __init__(self, repository: Any, taps: dict[str, str], changes: list[Change]) -> None:
        self._repository, self._taps, self._changes = repository, taps, changes

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._repository, name)
        change = self._taps.get(name)
        if change is None:
            return method

        def call(*arguments: Any, **named: Any) -> Any:
            answer = method(*arguments, **named)
            if answer is not False:
                self._changes.append((change, arguments))
            return answer

        return call


@dataclass(frozen=True, slots=True)
class Errand:
    """A tick of a beat, or a visit it asked for, as a message."""

    name: str
    tenant_id: UUID | None = None
    account_id: UUID | None = None


class BusDoor:
    """The broker as a bag of messages: dropped, doubled, mixed up, or emptied at once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.bag: list[JobRef | Errand] = []

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Put references into the bag."""
        if not refs:
            return
        self._hub.point("bus.ring", Moment.BEFORE)
        if self._hub.happens("broker_down"):
            raise Transient("broker: connection refused")
        for ref in refs:
            self.put(ref)
        self._hub.point("bus.ring", Moment.AFTER)

    def put(self, message: JobRef | Errand) -> None:
        """Send one message."""
        if self._hub.happens("drop", name="message_dropped"):
            return
        self.bag.append(message)
        if self._hub.happens("duplicate", name="message_doubled"):
            self.bag.append(message)

    def take(self) -> JobRef | Errand | None:
        """Any one message, in no order; now and then the bag is emptied instead."""
        if self._hub.happens("flush", name="flushall"):
            self.bag.clear()
        if not self.bag:
            return None
        return self.bag.pop(self._hub.rng.randrange(len(self.bag)))


# What is filled in part is hardest to take back: it comes about more often than the rest.
_PLACE_FAULTS = (*PlaceFault, PlaceFault.PARTIAL, PlaceFault.PARTIAL)
_TO_TAKE_BACK = (*PlaceFault, *[PlaceFault.PARTIAL] * 24)


class Draw(FaultDraw):
    """The venue's dice, thrown by the hub so that they are counted and end with the healing."""

    def __init__(self, hub: Hub, *, takes_back: bool = False) -> None:
        self._hub = hub
        self._fates = _TO_TAKE_BACK if takes_back else _PLACE_FAULTS

    def place(self) -> PlaceFault | None:
        """The fate of one placement."""
        hub = self._hub
        if hub.is_healed or hub.rng.random() >= hub.chances.place:
            return None
        fault = hub.rng.choice(self._fates)
        hub.count(f"place_{fault}")
        return fault

    def cancel_loses_race(self) -> bool:
        """Whether a fill is faster than the cancel."""
        return self._hub.happens("cancel_race")


_READS = frozenset({"balance", "open_orders", "find", "fills", "positions", "fundings", "statement"})
_WRITES = frozenset({"cancel", "set_leverage"})


class VenueDoor:
    """One account's venue: every call is a kill point on both sides; reads fail, and so do the answers to writes."""

    def __init__(self, venue: Any, hub: Hub) -> None:
        self._venue, self._hub = venue, hub

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._venue, name)
        if name not in _READS and name not in _WRITES and name != "place":
            return attribute

        def call(*arguments: Any) -> Any:
            hub = self._hub
            hub.point(f"venue.{name}", Moment.BEFORE)
            if name != "place" and hub.happens("read_fails", name="venue_call_failed"):
                raise Transient(f"venue: {name} timed out")
            answer = attribute(*arguments)
            if name in _WRITES and hub.happens("read_fails", name="venue_answer_lost"):
                raise Transient(f"venue: the answer to {name} was lost")
            hub.point(f"venue.{name}", Moment.AFTER)
            return answer

        return call


class MarketDoor:
    """The public side of a venue; reads may fail."""

    def __init__(self, market: Any, hub: Hub) -> None:
        self._market, self._hub = market, hub

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._market, name)
        if name not in {"candles", "book", "market", "mark", "marks"}:
            return attribute

        def call(*arguments: Any) -> Any:
            hub = self._hub
            hub.point(f"market.{name}", Moment.BEFORE)
            if hub.happens("read_fails", name="market_call_failed"):
                raise Transient(f"venue: {name} timed out")
            answer = attribute(*arguments)
            hub.point(f"market.{name}", Moment.AFTER)
            return answer

        return call


class AdvisorDoor:
    """A model that confirms, rejects, abstains or has no usable answer."""

    def __init__(self, profile: str, hub: Hub) -> None:
        self._profile, self._hub = profile, hub

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._profile

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """Any answer; a model is asked for nothing it could do harm with."""
        hub = self._hub
        hub.point("advisor.ask", Moment.BEFORE)
        if hub.happens("advisor", name="advisor_failed"):
            return _answer(AdviceVerdict.UNAVAILABLE, hub.rng.choice(list(UnavailableCause)))
        verdicts = [AdviceVerdict.CONFIRM] * 6 + [AdviceVerdict.REJECT, AdviceVerdict.ABSTAIN]
        answer = _answer(hub.rng.choice(verdicts), None)
        hub.point("advisor.ask", Moment.AFTER)
        return answer


def _answer(verdict: AdviceVerdict, cause: UnavailableCause | None) -> AdvisorAnswer:
    return AdvisorAnswer(
        verdict=verdict,
        reason=None if cause else AdviceReason.TREND_ALIGNED,
        cause=cause,
        p_target_first=None if cause else Decimal("0.5"),
        rationale="",
        model="simulated",
        prompt="",
        prompt_version="1",
        raw_answer="",
        latency_ms=0,
        tokens_in=0,
        tokens_out=0,
        cost_usd=Decimal(0),
    )
