"""Doors that fail: store, bus, venue and advisor as the services see them, with the hub behind every call."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any
from uuid import UUID

from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.errors import OutcomeUnknown, Transient
from common.domain.job import JobRef
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from common.store import Store
from simulation.hub import Hub, Moment


class StoreDoor:
    """The store; a transaction may find the database down, die before or after its commit, or lose the answer."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store, self._hub = store, hub

    def unit_of_work(self, tenant_id: UUID | None) -> Any:
        """A transaction whose commit is a door."""
        if self._hub.happens("database_down", self._hub.chances.database_down):
            raise Transient("connection refused")
        return _UnitDoor(self._store.unit_of_work(tenant_id), self._hub)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _UnitDoor:
    def __init__(self, unit: Any, hub: Hub) -> None:
        self._unit, self._hub = unit, hub

    def __enter__(self) -> _UnitDoor:
        self._unit.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unit.__exit__(kind, error, trace)

    def commit(self) -> list[JobRef]:
        """Commit, unless the worker dies first; the answer may get lost, and nobody may pause before it is in."""
        self._hub.point("commit", Moment.BEFORE, may_pause=False)
        if self._hub.happens("connection_cut_before_commit", self._hub.chances.commit_lost / 2):
            raise Transient("server closed the connection")
        refs: list[JobRef] = self._unit.commit()
        if self._hub.happens("commit_answer_lost", self._hub.chances.commit_lost):
            raise OutcomeUnknown("the connection was lost during COMMIT")
        self._hub.point("commit", Moment.AFTER)
        return refs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._unit, name)


class BusDoor:
    """The broker as a bag of messages: dropped, doubled, mixed up, or emptied at once."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.inbox: list[JobRef] = []

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Put references into the bag."""
        if self._hub.happens("broker_down", self._hub.chances.broker_down):
            raise Transient("broker: connection refused")
        for ref in refs:
            if self._hub.happens("message_dropped", self._hub.chances.drop):
                continue
            self.inbox.append(ref)
            if self._hub.happens("message_doubled", self._hub.chances.duplicate):
                self.inbox.append(ref)

    def take(self) -> JobRef | None:
        """Any one message, in no order; now and then the bag is emptied instead."""
        if self._hub.happens("flushall", self._hub.chances.flush):
            self.inbox.clear()
        if not self.inbox:
            return None
        return self.inbox.pop(self._hub.rng.randrange(len(self.inbox)))


_READS = ("balance", "open_orders", "find", "fills", "positions", "fundings", "cancel", "set_leverage")


class VenueDoor:
    """One account's venue: every call is a kill point on both sides, reads may fail."""

    def __init__(self, venue: Any, hub: Hub) -> None:
        self._venue, self._hub = venue, hub

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._venue, name)
        if name not in _READS and name != "place":
            return attribute

        def call(*arguments: Any) -> Any:
            self._hub.point(f"venue.{name}", Moment.BEFORE)
            if name != "place" and self._hub.happens(f"venue.{name} failed", self._hub.chances.read_fails):
                raise Transient(f"venue: {name} timed out")
            answer = attribute(*arguments)
            self._hub.point(f"venue.{name}", Moment.AFTER)
            return answer

        return call


class MarketDoor:
    """The public side of a venue; reads may fail."""

    def __init__(self, market: Any, hub: Hub) -> None:
        self._market, self._hub = market, hub

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._market, name)
        if name not in {"candles", "book", "market"}:
            return attribute

        def call(*arguments: Any) -> Any:
            self._hub.point(f"market.{name}", Moment.BEFORE)
            if self._hub.happens(f"market.{name} failed", self._hub.chances.read_fails):
                raise Transient(f"venue: {name} timed out")
            return attribute(*arguments)

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
        self._hub.point("advisor.ask", Moment.BEFORE)
        if self._hub.happens("advisor failed", self._hub.chances.advisor):
            return self._answer(AdviceVerdict.UNAVAILABLE, self._hub.rng.choice(list(UnavailableCause)))
        verdicts = [AdviceVerdict.CONFIRM] * 6 + [AdviceVerdict.REJECT, AdviceVerdict.ABSTAIN]
        answer = self._answer(self._hub.rng.choice(verdicts), None)
        self._hub.point("advisor.ask", Moment.AFTER)
        return answer

    @staticmethod
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
