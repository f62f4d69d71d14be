"""Doors of the services' tests beside the venue: a bus that records, an advisor with answers, a notifier."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from common.domain.advice import AdviceReason, AdviceVerdict, UnavailableCause
from common.domain.job import JobRef, Stage
from common.domain.market import Instrument
from common.domain.signal import Signal
from common.ports.advisor import AdvisorAnswer
from tests.services.venue import VENUE


def instrument(symbol: str) -> Instrument:
    """A market with a fine grid."""
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        base=symbol.partition("/")[0],
        quote="USDT",
        settle="USDT",
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.1"),
        min_quantity=Decimal("0.1"),
        max_quantity=Decimal(100_000),
        min_notional=Decimal(5),
        max_leverage=50,
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
    )


class RecordingBus:
    """Keeps what was rung until somebody takes it; `fails` is raised instead of ringing."""

    def __init__(self) -> None:
        self.inbox: list[JobRef] = []
        self.rung: list[JobRef] = []
        self.fails: Exception | None = None

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Note the references."""
        if self.fails is not None:
            raise self.fails
        self.inbox.extend(refs)
        self.rung.extend(refs)

    def of(self, stage: Stage) -> list[JobRef]:
        """What was rung for a stage, ever."""
        return [ref for ref in self.rung if ref.stage is stage]


class ScriptedAdvisor:
    """Answers as we say, and remembers who asked."""

    def __init__(self, profile: str = "default") -> None:
        self._profile = profile
        self.asked: list[UUID] = []
        self.verdict = AdviceVerdict.CONFIRM
        self.fails: Exception | None = None

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return self._profile

    def ask(self, signal: Signal) -> AdvisorAnswer:
        """The scripted answer."""
        self.asked.append(signal.id)
        if self.fails is not None:
            raise self.fails
        is_usable = self.verdict is not AdviceVerdict.UNAVAILABLE
        return AdvisorAnswer(
            verdict=self.verdict,
            reason=AdviceReason.TREND_ALIGNED if is_usable else None,
            cause=None if is_usable else UnavailableCause.TIMEOUT,
            p_target_first=Decimal("0.6") if is_usable else None,
            rationale="as scripted",
            model="script",
            prompt="…",
            prompt_version="1",
            raw_answer="{}",
            latency_ms=7,
            tokens_in=3,
            tokens_out=2,
            cost_usd=Decimal("0.001"),
        )


class RecordingNotifier:
    """Keeps alerts."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, ...]] = []

    def notify(self, tenant: str, kind: str, title: str, body: str) -> None:
        """Keep it."""
        self.alerts.append((tenant, kind, title, body))


def minutes(number: float) -> timedelta:
    """`number` minutes."""
    return timedelta(minutes=number)
