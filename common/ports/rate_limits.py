"""Who may ask a venue now: one budget per venue address and account, shared by all processes, by priority and fairly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CallClass(StrEnum):
    """What a call is for, the most urgent first; each class leaves room for those before it."""

    PROTECTIVE = "protective"
    EXIT = "exit"
    RECONCILE = "reconcile"
    ENTRY = "entry"
    DATA = "data"


USABLE = 0.95
"""Share of a venue's cap that is ever used: what others send from our address is learnt only afterwards."""

CEILINGS = {
    CallClass.PROTECTIVE: USABLE,
    CallClass.EXIT: USABLE * 0.97,
    CallClass.RECONCILE: USABLE * 0.93,
    CallClass.ENTRY: USABLE * 0.87,
    CallClass.DATA: USABLE * 0.75,
}
"""Share of the cap up to which a class may fill a budget; the rest is headroom for the classes before it."""

NEWCOMERS = 0.1
"""Share of a class's ceiling that nobody borrows: who comes next finds it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """For what, and for whom; `tenant` empty = for everybody. `share` weighs a tenant against the others."""

    kind: CallClass = CallClass.DATA
    tenant: str = ""
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Charge:
    """`weight` out of `budget`, of which the venue grants `cap` in any `window_s` seconds of life."""

    budget: str
    weight: float
    cap: float
    window_s: int = 60


@dataclass(frozen=True, slots=True)
class Grant:
    """Taken when `wait_s` is 0.0; else nothing was taken, and asking again before that is useless.

    `is_held`: the venue itself wants silence. `used` is what our processes have used of the first budget in the wall
    clock's current minute, this call included, to be compared with what the venue says.
    """

    wait_s: float = 0.0
    is_held: bool = False
    used: float = 0.0


class RateBroker(Protocol):
    """Budgets that all processes share; every method raises Transient when the shared state cannot be reached."""

    def ask(self, charges: Sequence[Charge], caller: Caller) -> Grant:
        """Take every charge or none. A window slides: no clock of a venue's can split what was used in it.

        A class fills a budget up to its ceiling. Up to its fair share of that a tenant is never kept back by other
        tenants; beyond it, it borrows what neither active tenants nor newcomers are entitled to. PROTECTIVE calls and
        those for everybody are held to the ceiling alone.
        """
        ...

    def learn(self, budget: str, used: float, known: float = 0.0) -> None:
        """The venue says that `used` is gone in its current minute; what we did not know of is added.

        Whoever asked knew of `known` then: an answer may be told in another minute than it was asked in.
        """
        ...

    def hold(self, budget: str, seconds: float) -> None:
        """The venue wants no requests for `seconds`: nobody asks."""
        ...


_caller: ContextVar[Caller | None] = ContextVar("tradewinds_caller", default=None)


@contextmanager
def calling(kind: CallClass, tenant: str = "", share: float = 1.0) -> Iterator[None]:
    """Whatever is asked of venues in this block is asked for this purpose, whichever door it goes through."""
    token = _caller.set(Caller(kind, tenant, share))
    try:
        yield
    finally:
        _caller.reset(token)


def caller(otherwise: Caller) -> Caller:
    """The caller of the block we are in, for the tenant of `otherwise` where it names none; `otherwise` outside of any."""
    found = _caller.get()
    if found is None:
        return otherwise
    return Caller(found.kind, found.tenant or otherwise.tenant, found.share if found.tenant else otherwise.share)
