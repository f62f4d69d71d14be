"""The life of a tenant's parameter set for a strategy: proposed, then approved or rejected, replaced, and taken back up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from common.domain import strategies
from common.domain.errors import IllegalMove, InvalidInput
from common.domain.strategies import Strategy

DEFAULTS = 0
"""Number of the set that nobody has to propose: the strategy's own defaults."""

ADVISOR = "advisor:"
"""How the name of a model begins: it may propose, inside the bounds like anybody, and decides nothing (B-05)."""

_NAME_LENGTH_MAX = 64
_REASON_LENGTH_MAX = 500


class ParameterState(StrEnum):
    """States of a parameter set; approved ones are ACTIVE, and RETIRED once another one took their place."""

    PROPOSED = "proposed"
    ACTIVE = "active"
    RETIRED = "retired"
    REJECTED = "rejected"


_S = ParameterState

TRANSITIONS: dict[ParameterState, frozenset[ParameterState]] = {
    _S.PROPOSED: frozenset({_S.ACTIVE, _S.REJECTED}),
    _S.ACTIVE: frozenset({_S.RETIRED}),
    # A roll-back: what was approved once needs no second approval.
    _S.RETIRED: frozenset({_S.ACTIVE}),
    _S.REJECTED: frozenset(),
}
"""What may follow what."""


@dataclass(frozen=True, slots=True)
class ParameterVersion:
    """One parameter set of a tenant for a strategy; `number` counts from 1 for each tenant and strategy.

    `parameters` are what differs from the strategy's defaults and `digest` is theirs, as in the versions of signals;
    `moves` counts how often its state changed, so that of two who decide at once the second is told.
    """

    tenant_id: UUID
    strategy: str
    number: int
    parameters: Mapping[str, Any]
    digest: str
    state: ParameterState
    proposed_by: str
    proposed_at: datetime
    reason: str
    moves: int = 0
    decided_by: str | None = None
    decided_at: datetime | None = None
    decision: str = ""

    @property
    def subject(self) -> str:
        """What the audit trail calls it."""
        return f"{self.strategy}|{self.number}"

    def move(self, destination: ParameterState, by: str, reason: str, now: datetime) -> ParameterVersion:
        """The set in `destination`, by whom and why; raises IllegalMove when the table holds no such move."""
        if destination not in TRANSITIONS[self.state]:
            raise IllegalMove("parameter set", f"{self.number} of {self.strategy}", self.state, destination)
        return replace(self, state=destination, decided_by=by, decided_at=now, decision=reason, moves=self.moves + 1)


@dataclass(frozen=True, slots=True)
class Activation:
    """The `sequence`-th parameter set in force for a tenant's strategy, from `active_from` until before `active_to`."""

    tenant_id: UUID
    strategy: str
    sequence: int
    number: int
    digest: str
    active_from: datetime
    active_to: datetime | None = None


def digest_of(strategy_version: str) -> str:
    """The digest of the parameters in the version of a strategy, a signal or a position; empty for the defaults."""
    return strategy_version.partition("-")[2]


def strategy_of(name: str, parameters: Mapping[str, Any], digest: str) -> Strategy:
    """The strategy with the parameters that were approved under `digest`.

    Raises NotFound or InvalidInput when today's code no longer knows it, refuses the values, or has other defaults
    than those they were chosen against: what was approved is then no longer what would run.
    """
    strategy = strategies.get(name, parameters)
    found = digest_of(strategy.version)
    if found != digest:
        raise InvalidInput(
            f"parameters of {name}", f"digest {digest}", f"{found or 'the defaults'} by today's code: propose them anew"
        )
    return strategy


def proposable(name: str, changes: Mapping[str, Any], in_force: str) -> Strategy:
    """The strategy with `changes`, checked against its bounds; raises NotFound or InvalidInput.

    `in_force` is the digest of what the tenant uses now: proposing the very same is refused.
    """
    strategy = strategies.get(name, changes)
    if digest_of(strategy.version) == in_force:
        shown = ", ".join(f"{key}={value}" for key, value in strategy.parameters.changes.items())
        raise InvalidInput("parameters", shown or "the defaults", "values other than those in force")
    return strategy


def decider(by: str) -> str:
    """`by` as somebody who may decide; raises InvalidInput for a model."""
    if proposer(by).startswith(ADVISOR):
        raise InvalidInput("by", by, "a person: an advisor may propose and decides nothing")
    return by


def proposer(by: str) -> str:
    """`by` as somebody who may propose."""
    if not by.strip() or len(by) > _NAME_LENGTH_MAX:
        raise InvalidInput("by", by, f"a name of 1 to {_NAME_LENGTH_MAX} characters")
    return by


def reasoned(reason: str) -> str:
    """`reason` as it may be kept."""
    if not reason.strip() or len(reason) > _REASON_LENGTH_MAX:
        raise InvalidInput("reason", reason, f"1 to {_REASON_LENGTH_MAX} characters that say why")
    return reason


def rollback_target(versions: Iterable[ParameterVersion], wanted: int | None) -> int:
    """The number to go back to: `wanted`, else the newest set approved before the active one, else the defaults.

    Raises InvalidInput when the defaults are in force already, or `wanted` is no earlier approved set.
    """
    known = {item.number: item for item in versions}
    active = next((item for item in known.values() if item.state is _S.ACTIVE), None)
    retired = sorted(item.number for item in known.values() if item.state is _S.RETIRED)
    if wanted is None:
        if active is None:
            raise InvalidInput("to", None, "a number: the defaults are in force, there is nothing before them")
        return max((number for number in retired if number < active.number), default=DEFAULTS)
    allowed = retired if active is None else [DEFAULTS, *retired]
    if wanted not in allowed:
        shown = ", ".join(map(str, allowed)) or "nothing: no set was approved before"
        raise InvalidInput("to", wanted, f"an earlier approved set that is not in force ({shown})")
    return wanted
