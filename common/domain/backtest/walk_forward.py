"""Walk-forward: stretches to learn on and stretches to be judged on, and the gates between a search and money (B-25)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from common.domain.backtest.measured import Measured
from common.domain.errors import InvalidInput
from common.domain.money import ONE, ZERO
from common.domain.performance import sharpe


@dataclass(frozen=True, slots=True)
class Window:
    """Learn from `train_from` up to `train_to`, be judged from there up to `validate_to`; ends are not included."""

    number: int
    train_from: datetime
    train_to: datetime
    validate_to: datetime


def windows(
    since: datetime, until: datetime, train: timedelta, validate: timedelta, step: timedelta | None = None
) -> tuple[Window, ...]:
    """Every window that fits between `since` and `until`, numbered from 1, each `step` after the last.

    The step is `validate` where None is given, so that the stretches that judge follow one another without overlap.
    Raises InvalidInput for a length that is not above zero and where not even one window fits.
    """
    step = step or validate
    for name, length in (("train", train), ("validate", validate), ("step", step)):
        if length <= timedelta(0):
            raise InvalidInput(name, str(length), "a duration above 0, such as 30d")
    if since + train + validate > until:
        raise InvalidInput("window", f"{since} to {until}", f"at least {train + validate} of candles")
    found: list[Window] = []
    begin = since
    while begin + train + validate <= until:
        middle = begin + train
        found.append(Window(len(found) + 1, begin, middle, middle + validate))
        begin += step
    return tuple(found)


class GateRule(StrEnum):
    """The closed list of gates."""

    TRADES_TOO_FEW = "trades_too_few"
    DEGRADED_TOO_FAR = "degraded_too_far"
    SHARPE_TOO_LOW = "sharpe_too_low"
    WIN_RATE_TOO_LOW = "win_rate_too_low"


@dataclass(frozen=True, slots=True)
class Gates:
    """What parameters found by search have to show on candles they were not chosen on (B-25)."""

    trades_min: int = 50
    degradation_max: Decimal = Decimal("0.30")
    sharpe_min: Decimal = Decimal("0.5")
    win_rate_min: Decimal = Decimal("0.45")

    def __post_init__(self) -> None:
        if self.trades_min < 1:
            raise InvalidInput("trades_min", self.trades_min, "a whole number from 1")
        if not ZERO <= self.win_rate_min <= ONE:
            raise InvalidInput("win_rate_min", self.win_rate_min, "a fraction from 0 to 1")


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate's answer with its two numbers; `measured` is None where nothing could be measured, which never passes."""

    rule: GateRule
    measured: Decimal | None
    limit: Decimal
    unit: str
    passed: bool


def degradation(trained: Decimal | None, validated: Decimal | None) -> Decimal | None:
    """The part of the Sharpe ratio in training that is lost out of sample, negative when it grew.

    None where either is unknown or nothing was earned in training: there is nothing to lose a part of.
    """
    if trained is None or validated is None or trained <= ZERO:
        return None
    return (trained - validated) / trained


def gates_of(
    gates: Gates, *, trades: int, win_rate: Decimal | None, trained: Decimal | None, validated: Decimal | None
) -> tuple[Gate, ...]:
    """Every gate's answer to Sharpe ratios in training (`trained`) and out of sample (`validated`), and to its trades."""
    lost = degradation(trained, validated)
    return (
        _at_least(GateRule.TRADES_TOO_FEW, Decimal(trades), Decimal(gates.trades_min), "trades"),
        Gate(
            GateRule.DEGRADED_TOO_FAR,
            lost,
            gates.degradation_max,
            "of the Sharpe ratio in training",
            lost is not None and lost <= gates.degradation_max,
        ),
        _at_least(GateRule.SHARPE_TOO_LOW, validated, gates.sharpe_min, "Sharpe ratio, annualised"),
        _at_least(GateRule.WIN_RATE_TOO_LOW, win_rate, gates.win_rate_min, "of trades"),
    )


def _at_least(rule: GateRule, measured: Decimal | None, limit: Decimal, unit: str) -> Gate:
    return Gate(rule, measured, limit, unit, measured is not None and measured >= limit)


def window_gates(gates: Gates, trained: Measured | None, validated: Measured | None) -> tuple[Gate, ...]:
    """The gates of one window; None stands for a search that found nothing."""
    return gates_of(
        gates,
        trades=validated.trades if validated else 0,
        win_rate=validated.win_rate if validated else None,
        trained=trained.sharpe if trained else None,
        validated=validated.sharpe if validated else None,
    )


@dataclass(frozen=True, slots=True)
class Stitched:
    """All stretches out of sample as one: the days one after another, the trades together.

    `trained` is the mean Sharpe ratio in training, `sharpe` that of all days out of sample.
    """

    trades: int
    wins: int
    win_rate: Decimal | None
    net_profit: Decimal
    total_return: Decimal
    trained: Decimal | None
    sharpe: Decimal | None
    days: int


def stitched(
    trained: Sequence[Measured | None], validated: Sequence[Measured | None], daily: Sequence[Sequence[Decimal]]
) -> Stitched:
    """The windows as one; a window whose search found nothing trades nothing and has no days."""
    judged = [item for item in validated if item is not None]
    trades, wins = sum(item.trades for item in judged), sum(item.wins for item in judged)
    ratios = [item.sharpe for item in trained if item is not None and item.sharpe is not None]
    days = [value for window in daily for value in window]
    grown = ONE
    for value in days:
        grown *= ONE + value
    return Stitched(
        trades=trades,
        wins=wins,
        win_rate=Decimal(wins) / trades if trades else None,
        net_profit=sum((item.net_profit for item in judged), ZERO),
        total_return=grown - ONE,
        trained=sum(ratios, ZERO) / len(ratios) if ratios else None,
        sharpe=sharpe(days),
        days=len(days),
    )


def stitched_gates(gates: Gates, whole: Stitched) -> tuple[Gate, ...]:
    """The gates of all windows together: what decides."""
    return gates_of(gates, trades=whole.trades, win_rate=whole.win_rate, trained=whole.trained, validated=whole.sharpe)
