"""One position and its protection: an entry that fills in parts, stops that add up, exits, and a monitor with a deadline.

What the order machine proves is used here: an order in doubt is settled one day, and only as what it really is. The
monitor's visit is one step; that an old look does no harm is the order machine's business too.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any

from common.domain.order import OrderStatus
from modelcheck.bags import bags, exchanged
from modelcheck.engine import Machine, Steps, chance, fault, goal, law, ours, rule, world
from modelcheck.ledger import moved
from modelcheck.policies import COVERED, FLIP, NAKED, STRIPPED, Policy

S = OrderStatus
DESK, HAND, WIRE, LOST, RESTS, OVER, REFUSED = "desk", "hand", "wire", "lost", "rests", "over", "refused"

Closing = tuple[S, str, int, int]
"""A stop or exit: its state in the ledger, where it really is, its quantity, and how much of it has filled."""
Stops = tuple[Closing | None, ...]


def _closings(quantity_max: int) -> list[Closing]:
    found: list[Closing] = []
    for quantity in range(1, quantity_max + 1):
        found.append((S.INTENDED, DESK, quantity, 0))
        for status in (S.SUBMITTING, S.ACCEPTED):
            found += [(status, place, quantity, 0) for place in (HAND, WIRE, LOST, RESTS, REFUSED)]
            found += [(status, OVER, quantity, filled) for filled in range(quantity + 1)]
    return found


class StopMachine(Machine):
    """See the module; the entry fills one unit at a time up to `quantity`, the deadline is `deadline` ticks."""

    def __init__(self, policy: Policy, *, quantity: int = 2, deadline: int = 1) -> None:
        self.policy, self.quantity, self.deadline = policy, quantity, deadline
        closings = _closings(quantity)
        signed = (0, *range(1, quantity + 1), *range(-quantity * 2, 0))
        slots = (None, *closings)
        self.fields: dict[str, tuple[Hashable, ...]] = {
            "held": signed,  # At the venue.
            "known": signed,  # In the ledger.
            "unfilled": tuple(range(quantity, -1, -1)),  # What of the entry may still fill.
            "unbooked": tuple(range(quantity + 1)),  # Fills of the entry that the ledger has not learnt.
            "stops": bags(slots, quantity),
            "exit": slots,
            "age": tuple(range(deadline + 2)),  # Ticks without full cover.
            "visited": (False, True),  # The monitor came since `age` was reached.
            "memory": tuple(range(quantity + 1)),  # A stop that only its filler knows of.
            "stripped": (False, True),
        }
        self.start = {name: values[0] for name, values in self.fields.items()} | {"stops": (None,) * quantity}
        self.prepare()

    # ── the entry ────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("held", "unfilled", "unbooked", "stops", "age", "visited")
    def fill(self, s: Any) -> Steps:
        """The entry fills in parts, at any time, also after its position was closed."""
        if s.unfilled:
            yield chance(
                "a part of the entry fills",
                held=s.held + 1,
                unfilled=s.unfilled - 1,
                unbooked=s.unbooked + 1,
                **self.clock(s),
            )
            yield chance("the rest of the entry is cancelled", unfilled=0)

    @rule("unbooked", "known", "stops", "memory", "exit", "held", "stripped")
    def book(self, s: Any) -> Steps:
        """One transaction: the fill, the position, and the intent of the stop that it needs."""
        if s.unbooked:
            known = s.known + s.unbooked
            changes = self.protected(s, s.stops, known)
            yield ours(
                "a worker books the fill" + self._with_stop(s.stops, changes), known=known, unbooked=0, **changes
            )

    @rule("memory", "stops")
    def place_from_memory(self, s: Any) -> Steps:
        """Only naive policies leave a stop in somebody's memory."""
        if s.memory:
            stops = exchanged(s.stops, None, (S.INTENDED, DESK, s.memory, 0))
            yield ours("who booked the fill intends a stop", stops=stops, memory=0)
            yield fault("who booked the fill is killed", memory=0)

    def protected(self, s: Any, stops: Stops, known: int) -> dict[str, Hashable]:
        """Changes that cover what of `known` no live stop covers, as services/protect_position.py does it."""
        naked = known - sum(stop[2] for stop in stops if stop)
        if known <= 0 or naked <= 0:
            return {"stops": stops}
        if not self.policy.monitor_protects:
            return {"stops": stops, "memory": naked}
        resting = next((stop for stop in stops if stop and stop[1] == RESTS), None)
        if self.policy.replaces_stop and resting:
            replaced = exchanged(stops, resting, (resting[0], OVER, resting[2], 0))
            stripped = s.stripped or (s.held > 0 and not s.exit)
            return {"stops": exchanged(replaced, None, (S.INTENDED, DESK, known, 0)), "stripped": stripped}
        return {"stops": exchanged(stops, None, (S.INTENDED, DESK, naked, 0))}

    @staticmethod
    def _with_stop(before: Stops, changes: dict[str, Hashable]) -> str:
        if changes.get("stripped"):
            return ", cancels the stop and intends a larger one"
        return " and intends a stop" if changes["stops"] != before else ""

    # ── stops ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("stops")
    def place_stop(self, s: Any) -> Steps:
        """SUBMITTING is committed, then the request leaves, or its worker dies first."""
        for stop in _each(s.stops):
            status, place, quantity, _ = stop
            if place == DESK:
                after = (moved(status, S.SUBMITTING), HAND, quantity, 0)
                yield ours("a worker commits the stop SUBMITTING", stops=exchanged(s.stops, stop, after))
            elif place == HAND:
                yield ours("the worker sends the stop", stops=exchanged(s.stops, stop, (status, WIRE, quantity, 0)))
                yield fault(
                    "the worker that has the stop is killed",
                    stops=exchanged(s.stops, stop, (status, LOST, quantity, 0)),
                )

    @rule("stops", "held")
    def stop_arrives(self, s: Any) -> Steps:
        """The venue holds the stop, refuses it, or never hears of it."""
        for stop in _each(s.stops, WIRE):
            status, _, quantity, _ = stop
            refuse = world if s.held <= 0 else chance
            rest = chance if s.held <= 0 else world
            yield rest("the stop rests at the venue", stops=exchanged(s.stops, stop, (status, RESTS, quantity, 0)))
            yield refuse("the venue refuses the stop", stops=exchanged(s.stops, stop, (status, REFUSED, quantity, 0)))
            yield fault("the stop is lost on its way", stops=exchanged(s.stops, stop, (status, LOST, quantity, 0)))

    @rule("stops", "held", "age", "visited")
    def stop_ends(self, s: Any) -> Steps:
        """The price touches it, or the venue takes it away."""
        for stop in _each(s.stops, RESTS):
            status, _, quantity, _ = stop
            filled = min(quantity, max(s.held, 0)) if self.policy.stop_reduces_only else quantity
            fired = exchanged(s.stops, stop, (status, OVER, quantity, filled))
            if s.held - filled in self.fields["held"]:
                yield chance(
                    f"the stop is triggered and closes {filled}", stops=fired, held=s.held - filled, **self.clock(s)
                )
            gone = exchanged(s.stops, stop, (status, OVER, quantity, 0))
            yield fault("the venue takes the stop away", stops=gone, **self.clock(s))

    @rule("stops", "known", "exit", "held", "stripped", "memory")
    def learn_stop(self, s: Any) -> Steps:
        """What became of a stop: its reply, its settlement, or the next look."""
        for stop in _each(s.stops):
            status, place, quantity, filled = stop
            if place == RESTS and status is S.SUBMITTING:
                after = (moved(status, S.ACCEPTED), RESTS, quantity, 0)
                yield ours("the stop's acknowledgement is learnt", stops=exchanged(s.stops, stop, after))
            elif place == LOST:
                moved(status, S.UNKNOWN, S.NOT_PLACED)
                yield ours("the stop is settled as NOT_PLACED", stops=exchanged(s.stops, stop, None))
            elif place == REFUSED:
                moved(status, S.REJECTED)
                stops = exchanged(s.stops, stop, None)
                exit_ = s.exit
                if self.policy.flattens_at_deadline and self.policy.monitor_protects and s.known > 0 and not exit_:
                    exit_ = (S.INTENDED, DESK, s.known, 0)
                yield ours("the stop's refusal is learnt; the position is left at once", stops=stops, exit=exit_)
                yield ours("the stop's refusal is found by its settlement", stops=stops)
            elif place == OVER:
                known, changes = self._book_stop(s, stop)
                yield ours(f"the end of the stop is learnt, {filled} closed", known=known, **changes)

    def _book_stop(self, s: Any, stop: Closing) -> tuple[int, dict[str, Hashable]]:
        status, _, quantity, filled = stop
        moved(status, S.FILLED if filled == quantity else S.CANCELED)
        known = s.known - filled
        stops = exchanged(s.stops, stop, None)
        if known == 0:
            return known, {"stops": self.swept(stops)}
        return known, self.protected(s, stops, known)

    def swept(self, stops: Stops) -> Stops:
        """The stops of a flat position: what never left is abandoned, the rest gets its cancel."""
        for stop in [stop for stop in stops if stop and stop[1] == DESK]:
            if self.policy.cancels_orphans:
                moved(stop[0], S.ABANDONED)
                stops = exchanged(stops, stop, None)
        return stops

    @rule("stops", "known", "unbooked")
    def cancel_orphan(self, s: Any) -> Steps:
        """What rests for a position that is flat is cancelled, once it is known to rest."""
        if s.known > 0 or s.unbooked or not self.policy.cancels_orphans:
            return
        for stop in _each(s.stops):
            status, place, quantity, _ = stop
            if place == RESTS and status is S.ACCEPTED:
                yield ours("the orphan stop is cancelled", stops=exchanged(s.stops, stop, (status, OVER, quantity, 0)))
            elif place == DESK:
                moved(status, S.ABANDONED)
                yield ours("the stop that is not needed any more is abandoned", stops=exchanged(s.stops, stop, None))

    # ── exits ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("exit", "known")
    def decide_exit(self, s: Any) -> Steps:
        """A target, a time, a person or a halt wants the position closed."""
        if s.known > 0 and s.exit is None:
            yield chance("an exit is decided and intended", exit=(S.INTENDED, DESK, s.known, 0))

    @rule("exit", "held", "stops", "age", "visited")
    def place_exit(self, s: Any) -> Steps:
        """A reduce-only market order: it closes what is there, or is refused where nothing is."""
        if s.exit is None:
            return
        status, place, quantity, _ = s.exit
        if place == DESK:
            yield ours("a worker commits the exit SUBMITTING", exit=(moved(status, S.SUBMITTING), HAND, quantity, 0))
        elif place == HAND:
            yield ours("the worker sends the exit", exit=(status, WIRE, quantity, 0))
            yield fault("the worker that has the exit is killed", exit=(status, LOST, quantity, 0))
        elif place == WIRE:
            yield fault("the exit is lost on its way", exit=(status, LOST, quantity, 0))
            yield fault("the venue refuses the exit", exit=(status, REFUSED, quantity, 0))
            filled = min(quantity, max(s.held, 0)) if self.policy.exit_reduces_only else quantity
            if not filled:
                yield world(
                    "the venue refuses the exit: there is nothing to reduce", exit=(status, REFUSED, quantity, 0)
                )
            elif s.held - filled in self.fields["held"]:
                yield world(f"the exit closes {filled}", exit=(status, OVER, quantity, filled), held=s.held - filled)

    @rule("exit", "known", "stops", "held", "stripped", "memory", "visited")
    def learn_exit(self, s: Any) -> Steps:
        """What became of the exit; if it failed, the monitor's next visit is the one that counts."""
        if s.exit is None:
            return
        status, place, quantity, filled = s.exit
        if place == LOST:
            moved(status, S.UNKNOWN, S.NOT_PLACED)
            yield ours("the exit is settled as NOT_PLACED", exit=None, visited=False)
        elif place == REFUSED:
            moved(status, S.REJECTED)
            yield ours("the exit's refusal is learnt", exit=None, visited=False)
        elif place == OVER:
            moved(status, S.FILLED if filled == quantity else S.EXPIRED)
            known = s.known - filled
            changes = {"stops": self.swept(s.stops)} if known == 0 else self.protected(s, s.stops, known)
            yield ours(f"the exit's fill is learnt, {filled} closed", exit=None, known=known, visited=False, **changes)

    # ── the monitor and its deadline ─────────────────────────────────────────────────────────────────────────────────

    @rule("known", "unbooked", "stops", "exit", "age", "visited", "memory", "held", "stripped")
    def visit(self, s: Any) -> Steps:
        """The monitor books what it finds, covers what is naked, and leaves what was naked for too long."""
        if s.visited and not s.unbooked:
            return
        if not self.policy.monitor_protects:
            yield ours("the monitor comes, and has nothing to do with stops", visited=True)
            return
        known, stops = s.known + s.unbooked, s.stops
        for stop in [stop for stop in stops if stop and stop[1] == OVER]:
            moved(stop[0], S.FILLED if stop[3] == stop[2] else S.CANCELED)
            known, stops = known - stop[3], exchanged(stops, stop, None)
        covered = sum(stop[2] for stop in stops if stop and stop[0] is S.ACCEPTED)
        is_naked = covered == 0 if self.policy.any_stop_covers else covered < known
        exit_ = s.exit
        if known > 0 and is_naked and s.age >= self.deadline and self.policy.flattens_at_deadline and not exit_:
            exit_ = (S.INTENDED, DESK, known, 0)
        changes = {"stops": self.swept(stops)} if known == 0 else self.protected(s, stops, known)
        words = "the monitor comes"
        if exit_ != s.exit:
            words = "the monitor comes after the deadline and intends an exit"
        yield ours(words, known=known, unbooked=0, exit=exit_, visited=True, **changes)

    @rule("held", "stops", "exit", "age", "visited")
    def tick(self, s: Any) -> Steps:
        """Time passes; past the deadline only after the monitor came: how long no monitor runs is not its promise."""
        if not _is_naked(s):
            if s.age or s.visited:
                yield world("time passes, fully covered", age=0, visited=False)
        elif s.age < self.deadline:
            yield world("time passes without full cover", age=s.age + 1, visited=False)
        elif s.age == self.deadline and s.visited:
            if s.exit:
                yield world("time passes while the exit is under way", visited=False)
            else:
                yield world("the deadline passes without full cover", age=s.age + 1)

    def clock(self, s: Any) -> dict[str, Hashable]:
        """The deadline starts anew when what was covered until now may be naked next."""
        return {} if _is_naked(s) else {"age": 0, "visited": False}

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    @law(FLIP, "held")
    def law_1_no_flip(self, s: Any) -> bool:
        """Promise of protection: stops and exits only ever reduce."""
        return bool(s.held >= 0)

    @law(STRIPPED, "stripped")
    def law_2_not_stripped(self, s: Any) -> bool:
        """Whoever holds a position with a resting stop keeps it."""
        return not s.stripped

    @law(NAKED, "age")
    def law_3_deadline(self, s: Any) -> bool:
        """I8."""
        return bool(s.age <= self.deadline)

    @goal(COVERED, "held", "known", "unbooked", "stops", "exit")
    def goal_covered(self, s: Any) -> bool:
        """I7 and I8 at rest."""
        if s.held != s.known or s.unbooked:
            return False
        if s.held == 0:
            return s.exit is None and not any(s.stops)
        return not _is_naked(s)


def _is_naked(s: Any) -> bool:
    """Whether the venue holds more than the stops resting there cover."""
    return bool(0 < s.held > _cover(s.stops))


@cache
def _cover(stops: Stops) -> int:
    return sum(stop[2] for stop in stops if stop and stop[1] == RESTS)


@cache
def _each(stops: Stops, place: str = "") -> list[Closing]:
    """Different stops, those at `place` if one is named."""
    return [stop for stop in dict.fromkeys(stops) if stop and place in {"", stop[1]}]
