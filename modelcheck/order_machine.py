"""One entry intent from approval to its end: two workers, a settler and two observers against a venue that may lag."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from common.domain.order import IN_DOUBT, TERMINAL, WORKING, OrderStatus
from modelcheck.bags import bags, exchanged
from modelcheck.engine import Machine, Step, Steps, chance, fault, goal, law, ours, rule, world
from modelcheck.ledger import Seen, learnt, moved, refolded
from modelcheck.policies import DOUBLE, ENDS, SETTLED, UNINTENDED, UNRESERVED, Policy

S = OrderStatus
IDLE, CLAIMED, READY, WAITING, ANSWERED = "idle", "claimed", "ready", "waiting", "answered"
# A worker whose connection to Postgres is gone: its claim is free again, and it does not know yet.
LOST_CLAIMED, LOST_READY = "lost its claim", "lost its claim, ready"
HOLDERS = frozenset({CLAIMED, READY, WAITING, ANSWERED})
ENDED = frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED})
"""States in which an order at the venue can do no more."""


@dataclass(frozen=True, slots=True)
class Venue:
    """What the venue promises: uniqueness of ids ("ever", "open", "never"), window and horizon in ticks.

    `dates_fills` says that an order is shown with all its fills; else a fill may be told after the order has ended.
    `keeps_horizon` says that orders are shown within the horizon; else the promise of its capability record is broken.
    """

    uniqueness: str = "never"
    window: int = 1
    horizon: int = 1
    dates_fills: bool = True
    keeps_horizon: bool = True


class OrderMachine(Machine):
    """See the module; `quantity` is the number of fills that complete the order, `eyes` how many observe at once."""

    def __init__(self, policy: Policy, venue: Venue, *, quantity: int = 2, eyes: int = 2) -> None:
        self.policy, self.venue, self.quantity = policy, venue, quantity
        self.conclude_after = venue.window + (venue.horizon if policy.has_horizon else 0)
        self.age_max = venue.window + venue.horizon + 1
        amounts = tuple(range(quantity + 1))
        ages = tuple(range(self.age_max + 1))
        snapshots: tuple[Seen, ...] = tuple(
            (status, n) for status in (S.ACCEPTED, S.PARTIALLY_FILLED, *ENDED) for n in amounts
        )
        looks: tuple[Seen | None, ...] = (None, *snapshots)
        asked = [("asked", held, may, None) for held in IN_DOUBT for may in (False, True)]
        told = [("told", held, may, seen) for held in IN_DOUBT for may in (False, True) for seen in looks]
        workers = (IDLE, CLAIMED, READY, WAITING, ANSWERED, LOST_CLAIMED, LOST_READY)
        requests = (None, *(("wire", stamp) for stamp in ages), ("accepted", 0), ("refused", 0), ("lost", 0))
        self.fields: dict[str, tuple[Hashable, ...]] = {
            "status": tuple(S),
            "booked": amounts,
            "reserved": (True, False),
            "place": (True, False),  # The job that places waits.
            "settle": ("none", "waits", "done"),
            "cancel": (False, True),
            "crew": bags(workers, 2),
            "reply": (None, "refused", "nothing", *snapshots),
            "request": requests,
            "again": requests,
            "age": ages,
            "settler": (None, *asked, *told),
            "eyes": bags(looks, eyes),
            "order": (None, S.ACCEPTED, *ENDED),
            "hidden": tuple(range(max(venue.horizon, 1) + 1)),
            "filled": amounts,
            "told": amounts,
            "cancelling": (False, True),
            "doubled": (False, True),
        }
        self.start = {name: values[0] for name, values in self.fields.items()} | {"order": None}
        self.prepare()

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("crew", "place", "status", "settle")
    def claim(self, s: Any) -> Steps:
        """A doorbell rang, once more or at last: whoever is free claims the job that waits, if nobody holds it."""
        if not s.place or IDLE not in s.crew or HOLDERS & set(s.crew):
            return
        if s.status is S.INTENDED:
            yield ours("a worker claims the placement", crew=exchanged(s.crew, IDLE, CLAIMED))
        elif s.status in IN_DOUBT and self.policy.resends:
            yield ours(
                f"a worker finds the order {s.status} and prepares to send it again, with the {self.policy.resends}",
                crew=exchanged(s.crew, IDLE, READY),
            )
        elif s.status in IN_DOUBT:
            settle = "waits" if s.settle == "none" else s.settle
            yield ours(f"a worker finds the order {s.status} and asks for its settlement", place=False, settle=settle)
        else:
            yield ours(f"a worker finds the order {s.status}: nothing to send", place=False)

    @rule("crew", "status", "reserved")
    def submit(self, s: Any) -> Steps:
        """The second, short transaction: SUBMITTING or ABANDONED, if the order is as it was read."""
        for before, after in ((CLAIMED, READY), (LOST_CLAIMED, LOST_READY)):
            if before not in s.crew:
                continue
            crew = exchanged(s.crew, before, after)
            idle = exchanged(s.crew, before, IDLE)
            if not self.policy.intent_first:
                yield ours("the worker prepares the request; nothing is written yet", crew=crew)
            elif s.status is S.INTENDED:
                yield ours("the worker commits SUBMITTING", crew=crew, status=moved(s.status, S.SUBMITTING))
                abandoned = moved(s.status, S.ABANDONED)
                yield chance(
                    "halted or expired: the worker commits ABANDONED", crew=idle, status=abandoned, reserved=False
                )
            elif not self.policy.compares_and_sets and s.status in IN_DOUBT:
                yield ours("the worker commits SUBMITTING over what another wrote", crew=crew, status=S.SUBMITTING)
            else:
                yield ours("the worker finds the order changed and rolls back", crew=idle)

    @rule("crew", "request", "again", "age")
    def send(self, s: Any) -> Steps:
        """One request on the wire; a second one by policies that send again."""
        for before, after in ((READY, WAITING), (LOST_READY, IDLE)):
            if before not in s.crew:
                continue
            stamp = 0 if self.policy.stamps_commit else s.age
            crew = exchanged(s.crew, before, after)
            if s.request is None:
                yield ours("the worker sends the order", crew=crew, request=("wire", stamp))
            elif s.again is None:
                yield ours("the worker sends the order a second time", crew=crew, again=("wire", s.age))
            else:
                yield ours("the worker gives up", crew=exchanged(s.crew, before, IDLE))

    @rule("crew", "reply")
    def crash(self, s: Any) -> Steps:
        """Kill -9 at any point, or the connection to Postgres is cut."""
        for phase in sorted(set(s.crew) - {IDLE}):
            reply = None if phase == ANSWERED else s.reply
            yield fault(f"the worker ({phase}) is killed", crew=exchanged(s.crew, phase, IDLE), reply=reply)
        for before, after in ((CLAIMED, LOST_CLAIMED), (READY, LOST_READY)):
            if before in s.crew:
                yield fault(f"the worker ({before}) is cut off from Postgres", crew=exchanged(s.crew, before, after))

    @rule("crew", "reply", "request", "again", "order", "filled", "told")
    def reply_(self, s: Any) -> Steps:
        """The answer reaches the worker that waits, or it stops waiting."""
        if WAITING not in s.crew:
            return
        crew = exchanged(s.crew, WAITING, ANSWERED)
        fate = (s.again or s.request)[0]
        if fate == "accepted":
            seen = self.shown(s)
            yield world(f"the venue answers: {seen[0]}", crew=crew, reply=seen)
        elif fate == "refused":
            yield world("the venue answers: refused", crew=crew, reply="refused")
        end = world if fate == "lost" else fault
        yield end("the worker waits in vain: timeout, 5xx or an unreadable answer", crew=crew, reply="nothing")

    @rule("crew", "reply", "status", "booked", "told", "reserved", "place", "settle")
    def write_answer(self, s: Any) -> Steps:
        """The outer transaction: the outcome, with what follows from it, and the job done."""
        if ANSWERED not in s.crew:
            return
        idle = exchanged(s.crew, ANSWERED, IDLE)
        expected = S.SUBMITTING if self.policy.intent_first else S.INTENDED
        if s.status is not expected:
            yield ours("the worker finds the order changed and rolls back", crew=idle, reply=None)
            return
        status = S.SUBMITTING
        if s.reply == "nothing":
            yield self._write_nothing(s, idle)
        elif s.reply == "refused":
            rejected = moved(status, S.REJECTED)
            yield ours(
                "the worker commits REJECTED", crew=idle, reply=None, status=rejected, reserved=False, place=False
            )
        else:
            changes = self.learn(status, s.booked, s.told if s.reply[1] else s.booked, s.reserved, s.reply)
            yield ours(f"the worker commits {changes['status']}", crew=idle, reply=None, place=False, **changes)

    def _write_nothing(self, s: Any, idle: tuple[str, ...]) -> Step:
        if self.policy.resends:
            crew = exchanged(s.crew, ANSWERED, READY)
            return ours(f"the worker prepares to send it again, with the {self.policy.resends}", crew=crew, reply=None)
        if self.policy.timeout_means == "rejected":
            rejected = moved(S.SUBMITTING, S.REJECTED)
            words = "the worker takes the timeout for a failure and commits REJECTED"
            return ours(words, crew=idle, reply=None, status=rejected, reserved=False, place=False)
        unknown = moved(S.SUBMITTING, S.UNKNOWN)
        settle = "waits" if s.settle == "none" else s.settle
        reserved = s.reserved and not self.policy.unknown_releases
        words = "the worker commits UNKNOWN" + ("" if reserved else " and releases the reservation")
        return ours(words, crew=idle, reply=None, status=unknown, settle=settle, place=False, reserved=reserved)

    # ── the venue ────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("request", "order", "age", "hidden", "doubled")
    def arrive(self, s: Any) -> Steps:
        """The request reaches the venue at last, is refused there, or never arrives."""
        yield from self._arrive("request", "the order", s.request, s)

    @rule("again", "order", "age", "hidden", "doubled")
    def arrive_again(self, s: Any) -> Steps:
        """So does a second request of the same intent."""
        yield from self._arrive("again", "the second request", s.again, s)

    def _arrive(self, slot: str, noun: str, request: tuple[str, int] | None, s: Any) -> Steps:
        if request is None or request[0] != "wire":
            return
        yield fault(f"{noun} is lost on its way", **{slot: ("lost", 0)})
        late = " late" if s.age > request[1] else ""
        if self.policy.has_window and s.age > request[1] + self.venue.window:
            yield world(f"the venue refuses {noun}: its window has closed", **{slot: ("refused", 0)})
        elif s.order is None:
            hidden = self.venue.horizon if self.venue.keeps_horizon else 1
            placed = {slot: ("accepted", 0), "order": S.ACCEPTED, "hidden": hidden}
            yield world(f"{noun} arrives{late} and is accepted", **placed)
            yield chance(f"the venue refuses {noun} for a reason of its own", **{slot: ("refused", 0)})
        elif self.policy.resends != "new id" and self._is_taken(s.order):
            yield world(f"the venue refuses {noun}: its id is taken", **{slot: ("refused", 0)})
        else:
            yield world(f"{noun} arrives{late} and is accepted as well", **{slot: ("accepted", 0), "doubled": True})

    def _is_taken(self, order: S) -> bool:
        """Whether the venue refuses a second order with the id of `order`."""
        return self.venue.uniqueness == "ever" or (self.venue.uniqueness == "open" and order is S.ACCEPTED)

    @rule("order", "filled", "told", "cancelling")
    def trade(self, s: Any) -> Steps:
        """A market order fills in parts, unless a cancel, an expiry or a late refusal comes first."""
        if s.told < s.filled:
            yield world("the venue reports a fill", told=s.told + 1)
        if s.order is not S.ACCEPTED:
            return
        filled = s.filled + 1
        if filled == self.quantity:
            yield world("the rest of the order fills", filled=filled, order=S.FILLED, cancelling=False)
        else:
            yield world("a part of the order fills", filled=filled)
        for ended, words in ((S.EXPIRED, "the order expires"), (S.CANCELED, "somebody cancels the order at the venue")):
            yield chance(words, order=ended, cancelling=False)
            if not self.venue.dates_fills:
                late = f"{words} as the last of it fills"
                yield chance(late, order=ended, filled=self.quantity, cancelling=False)
        if s.cancelling:
            yield world("the cancel takes effect", order=S.CANCELED, cancelling=False)
        if not s.filled:
            yield chance("the venue refuses the order after it had acknowledged it", order=S.REJECTED, cancelling=False)

    @rule("hidden")
    def reveal(self, s: Any) -> Steps:
        """Queries begin to show the order, at the end of the horizon at the latest."""
        if s.hidden:
            show = chance if self.venue.keeps_horizon else world
            yield show("queries begin to show the order", hidden=0)

    @rule("status", "request", "age", "hidden")
    def tick(self, s: Any) -> Steps:
        """Time passes: for the window, for the horizon, for whoever is frozen."""
        if s.age < self.age_max and (s.status is not S.INTENDED or s.request is not None):
            hidden = max(s.hidden - 1, 0) if self.venue.keeps_horizon else s.hidden
            yield world("time passes", age=s.age + 1, hidden=hidden)

    def shown(self, s: Any) -> Seen:
        """The order as the venue shows it now."""
        filled = s.filled if self.venue.dates_fills or s.order is S.FILLED else s.told
        status = S.PARTIALLY_FILLED if s.order is S.ACCEPTED and filled else s.order
        return status, filled

    # ── settlement ───────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("settler", "settle", "status", "age")
    def ask(self, s: Any) -> Steps:
        """The settler reads the order and the clock, then asks."""
        if s.settle != "waits" or s.settler is not None:
            return
        if s.status not in IN_DOUBT:
            yield ours(f"the settler finds the order {s.status}: nothing to ask", settle="done")
        else:
            may = s.age > self.conclude_after
            when = "late enough to conclude" if may else "too early to conclude"
            yield ours(f"the settler asks the venue, {when}", settler=("asked", s.status, may, None))

    @rule("settler", "order", "hidden", "filled", "told")
    def answer_settler(self, s: Any) -> Steps:
        """By id, open orders and fills; an order that is hidden is not there."""
        if s.settler is None:
            return
        if s.settler[0] == "asked":
            seen = self.shown(s) if s.order is not None and not s.hidden else None
            words = "the venue shows it nothing" if seen is None else f"the venue shows it the order, {seen[0]}"
            yield world(words, settler=("told", *s.settler[1:3], seen))
        yield fault("the settler is killed", settler=None)

    @rule("settler", "settle", "status", "booked", "told", "reserved", "again", "age")
    def conclude(self, s: Any) -> Steps:
        """Only evidence settles: the order itself, or its absence after window and horizon."""
        if s.settler is None or s.settler[0] != "told":
            return
        _, held, may, seen = s.settler
        if not self.policy.reads_clock_first:
            may = s.age > self.conclude_after
        if s.status is not held:
            yield ours("the settler finds the order changed and rolls back", settler=None)
        elif seen is not None:
            status = moved(held, S.UNKNOWN)
            changes = self.learn(status, s.booked, s.told, s.reserved, seen)
            yield ours(f"the settler commits {changes['status']}", settler=None, settle="done", **changes)
        elif self.policy.absence_means == "rejected":
            rejected = moved(held, S.UNKNOWN, S.REJECTED)
            words = "the settler takes absence for a refusal and commits REJECTED"
            yield ours(words, settler=None, settle="done", status=rejected, reserved=False)
        elif self.policy.absence_means == "resend" and s.again is None:
            yield ours("the settler sends the order again", settler=None, again=("wire", s.age))
        elif may:
            gone = moved(held, S.UNKNOWN, S.NOT_PLACED)
            yield ours("the settler commits NOT_PLACED", settler=None, settle="done", status=gone, reserved=False)
        else:
            yield ours("the settler will ask again", settler=None)

    # ── monitor and reconciler ───────────────────────────────────────────────────────────────────────────────────────

    @rule("eyes", "status", "order", "hidden", "filled", "told")
    def look(self, s: Any) -> Steps:
        """The monitor looks at orders it knows to be live; the reconciler at every open order that bears our id."""
        if None not in s.eyes or s.order is None or s.hidden:
            return
        if s.status in WORKING or (self.policy.adopts and s.order is S.ACCEPTED):
            seen = self.shown(s)
            yield ours(f"an observer sees the order, {seen[0]}", eyes=exchanged(s.eyes, None, seen))

    @rule("eyes", "status", "booked", "told", "reserved")
    def write_look(self, s: Any) -> Steps:
        """What was seen, perhaps long ago, is written over what is known by now."""
        for seen in set(s.eyes) - {None}:
            eyes = exchanged(s.eyes, seen, None)
            yield fault("the observer is killed", eyes=eyes)
            if self.policy.adopts or s.status in WORKING:
                changes = self.learn(s.status, s.booked, s.told, s.reserved, seen)
                yield ours(f"the observer that saw it {seen[0]} commits {changes['status']}", eyes=eyes, **changes)
            else:
                yield ours("the observer does not write what it did not know", eyes=eyes)

    @rule("status", "booked", "told", "reserved", "order", "hidden")
    def adopt_fills(self, s: Any) -> Steps:
        """The reconciler books every fill that bears our id, whatever the ledger believed of its order."""
        if self.policy.adopts and s.told > s.booked:
            changes = self.learn(s.status, s.booked, s.told, s.reserved, None)
            yield ours(f"the reconciler books its fills and commits {changes['status']}", **changes)

    def learn(self, status: S, booked: int, told: int, reserved: bool, seen: Seen | None) -> dict[str, Hashable]:
        """The order's row after the order was seen as `seen` and fills up to `told` were booked, as learn.py does it."""
        back = self.policy.view_takes_back
        if seen is not None:
            status = learnt(status, booked, seen, goes_back=back)
        if told > booked:
            status = refolded(status, told, self.quantity)
        booked = max(told, booked)
        if seen is not None:
            status = learnt(status, booked, seen, goes_back=back)
        return {"status": status, "booked": booked, "reserved": reserved and status not in TERMINAL}

    # ── cancels ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("status", "reserved", "cancel")
    def want_cancel(self, s: Any) -> Steps:
        """A halt, the end of its position or a person wants the order gone."""
        if s.status is S.INTENDED:
            yield chance("it is not wanted any more: ABANDONED", status=moved(s.status, S.ABANDONED), reserved=False)
        elif s.status not in TERMINAL and not s.cancel:
            yield chance("a cancel is asked for", cancel=True)

    @rule("cancel", "status", "reserved", "order", "cancelling")
    def send_cancel(self, s: Any) -> Steps:
        """A cancel is a request: only the venue's word ends the order. An order in doubt is settled first."""
        if not s.cancel or s.status in TERMINAL:
            return
        if s.status in IN_DOUBT:
            if self.policy.cancel_refusal_ends and s.order is None:
                gone = moved(s.status, S.UNKNOWN, S.NOT_PLACED)
                yield ours(
                    "the cancel is refused, `unknown order`: NOT_PLACED is committed", status=gone, reserved=False
                )
            return
        if self.policy.cancel_ack_ends:
            ended = moved(s.status, S.CANCELED)
            yield ours(
                "the venue takes the cancel, and CANCELED is committed",
                status=ended,
                reserved=False,
                cancelling=s.order is S.ACCEPTED,
            )
        elif s.order is S.ACCEPTED and not s.cancelling:
            yield ours("the venue takes the cancel", cancelling=True)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    @law(DOUBLE, "doubled")
    def law_1_one_entry(self, s: Any) -> bool:
        """I2."""
        return not s.doubled

    @law(UNINTENDED, "status", "order")
    def law_2_intent_first(self, s: Any) -> bool:
        """I3."""
        return s.order is None or s.status not in {S.INTENDED, S.ABANDONED}

    @law(UNRESERVED, "reserved", "order", "request", "age", "filled", "booked")
    def law_3_reservation(self, s: Any) -> bool:
        """I13 and I6: what may exist counts. A venue that breaks its word about the horizon is adopted from afterwards."""
        if s.reserved or not self.venue.keeps_horizon:
            return True
        waits = s.request is not None and s.request[0] == "wire"
        may_arrive = waits and (not self.policy.has_window or s.age <= s.request[1] + self.venue.window)
        forgotten = self.venue.dates_fills and s.filled > s.booked
        return not (may_arrive or s.order is S.ACCEPTED or forgotten)

    @law(SETTLED, "status", "order")
    def law_4_settled(self, s: Any) -> bool:
        """I4."""
        return not (self.venue.keeps_horizon and s.status in TERMINAL and s.order is S.ACCEPTED)

    @goal(ENDS, "status", "reserved", "place", "settle", "booked", "filled", "order", "request")
    def goal_ended(self, s: Any) -> bool:
        """I1, I4, I5 and I13 at rest."""
        is_quiet = not s.place and s.settle != "waits" and (s.request is None or s.request[0] != "wire")
        return (
            s.status in TERMINAL and not s.reserved and is_quiet and s.booked == s.filled and s.order is not S.ACCEPTED
        )
