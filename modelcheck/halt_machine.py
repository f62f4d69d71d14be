"""Halts against entries that are being approved, committed and sent; exits, cancels and several imposers of halts."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from common.domain.order import OrderStatus
from common.domain.risk.book import HaltMode
from modelcheck.bags import bag, bags, exchanged
from modelcheck.engine import Machine, Steps, chance, fault, goal, law, ours, rule, world
from modelcheck.ledger import moved
from modelcheck.policies import HALTED, LEAVES, STALE, Policy

S = OrderStatus
SIGNAL, WEIGHED, APPROVED, DECIDED, READY, WIRE, WORKING, HELD, LEAVING, OVER = (
    "signal", "weighed", "approved", "decided", "ready", "on the wire", "working", "held", "leaving", "over"
)  # fmt: skip
FRESH, OLD, HALTED_AT_COMMIT, OLD_AT_COMMIT = (
    "",
    "epoch has moved",
    "committed under a halt",
    "committed with an old epoch",
)
TAKES_BACK = frozenset({HaltMode.CANCEL_ENTRIES, HaltMode.FLATTEN})

Entry = tuple[str, str, bool]
"""Where an entry is, what is wrong with it, and, inside its submitting transaction, whether it may go."""
Entries = tuple[Entry, ...]
Halts = tuple[HaltMode | None, ...]


class HaltMachine(Machine):
    """See the module; `entries` signals race with at most `halts` halts in force at once, lifted and imposed again."""

    def __init__(self, policy: Policy, *, entries: int = 3, halts: int = 2) -> None:
        self.policy = policy
        self.holds_epoch = policy.halt_checked.endswith("epoch held still")
        before = [(phase, mark, False) for phase in (WEIGHED, APPROVED) for mark in (FRESH, OLD)]
        inside = [(DECIDED, mark, may) for mark in (FRESH, OLD) for may in (False, True)]
        marks = (FRESH, HALTED_AT_COMMIT, OLD_AT_COMMIT)
        after = [(phase, mark, False) for phase in (READY, WIRE, WORKING) for mark in marks]
        plain = [(phase, FRESH, False) for phase in (SIGNAL, HELD, LEAVING, OVER)]
        kinds: list[Entry] = [*plain, *before, *inside, *after]
        modes = (None, *HaltMode)
        self.fields: dict[str, tuple[Hashable, ...]] = {
            "entries": bags(kinds, entries),
            "halts": bags(modes, halts),
            "believed": bags(modes, halts),
        }
        self.start = {
            "entries": ((SIGNAL, FRESH, False),) * entries,
            "halts": (None,) * halts,
            "believed": (None,) * halts,
        }
        self.prepare()

    # ── halts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("halts", "believed", "entries")
    def impose(self, s: Any) -> Steps:
        """The halt and the next epoch are one commit; it waits for transactions that hold the epoch still."""
        if None not in s.halts or (self.holds_epoch and any(entry[0] == DECIDED for entry in s.entries)):
            return
        entries = bag(_older(entry) for entry in s.entries)
        for mode in HaltMode:
            halts = exchanged(s.halts, None, mode)
            believed = exchanged(s.believed, None, mode) if None in s.believed else s.believed
            yield chance(f"a halt is committed ({mode})", halts=halts, believed=believed, entries=entries)

    @rule("halts", "believed")
    def resume(self, s: Any) -> Steps:
        """Each imposer lifts a halt of its own."""
        for mode in dict.fromkeys(s.halts):
            if mode is not None:
                halts = exchanged(s.halts, mode, None)
                believed = (None,) * len(s.halts) if self.policy.resume_lifts_all else halts
                yield chance(f"one imposer lifts its halt ({mode})", halts=halts, believed=believed)

    @rule("believed", "halts")
    def flush(self, s: Any) -> Steps:
        """Redis is emptied; it matters to those only who keep facts in it."""
        if self.policy.halt_in_cache and any(s.believed):
            yield fault("Redis is emptied, and the halt with it", believed=(None,) * len(s.halts))

    # ── entries ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule("entries", "believed")
    def approve(self, s: Any) -> Steps:
        """Risk reads halts and epoch, then commits the intent with that epoch."""
        if (SIGNAL, FRESH, False) in s.entries:
            signal = (SIGNAL, FRESH, False)
            if any(s.believed):
                yield ours("risk vetoes a signal: halted", entries=exchanged(s.entries, signal, (OVER, FRESH, False)))
            else:
                yield ours("risk finds no halt", entries=exchanged(s.entries, signal, (WEIGHED, FRESH, False)))
        for entry in _each(s.entries, WEIGHED):
            approved = (APPROVED, entry[1], False)
            yield ours("risk commits the intent with the epoch it read", entries=exchanged(s.entries, entry, approved))

    @rule("entries", "believed", "halts")
    def submit(self, s: Any) -> Steps:
        """One transaction: read halts and epoch, then commit SUBMITTING or ABANDONED."""
        for entry in _each(s.entries, APPROVED):
            is_old = self.policy.compares_epoch and entry[1] == OLD
            may = self.policy.halt_checked == "at approval" or not (any(s.believed) or is_old)
            seen = "no objection" if may else "a halt or a newer epoch"
            decided = (DECIDED, entry[1], may)
            yield ours(f"a worker, about to submit, reads: {seen}", entries=exchanged(s.entries, entry, decided))
        for entry in _each(s.entries, DECIDED):
            _, mark, may = entry
            if not may:
                moved(S.INTENDED, S.ABANDONED)
                yield ours("the worker commits ABANDONED", entries=exchanged(s.entries, entry, (OVER, FRESH, False)))
                continue
            moved(S.INTENDED, S.SUBMITTING)
            wrong = HALTED_AT_COMMIT if any(s.halts) else OLD_AT_COMMIT if mark == OLD else FRESH
            yield ours("the worker commits SUBMITTING", entries=exchanged(s.entries, entry, (READY, wrong, False)))

    @rule("entries")
    def send(self, s: Any) -> Steps:
        """The request leaves, arrives, and is matched; each worker may die, each request may be lost."""
        for entry in dict.fromkeys(s.entries):
            phase, mark, _ = entry
            over = exchanged(s.entries, entry, (OVER, FRESH, False))
            if phase == DECIDED:
                rolled_back = exchanged(s.entries, entry, (APPROVED, mark, False))
                yield fault("the worker is killed inside its transaction", entries=rolled_back)
            elif phase == READY:
                yield ours("the worker sends the entry", entries=exchanged(s.entries, entry, (WIRE, mark, False)))
                yield fault("the worker is killed before it sends; the entry is settled as NOT_PLACED", entries=over)
            elif phase == WIRE:
                yield world("the venue accepts the entry", entries=exchanged(s.entries, entry, (WORKING, mark, False)))
                yield fault("the entry is lost on its way and settled as NOT_PLACED", entries=over)
            elif phase == WORKING:
                yield chance("the entry fills", entries=exchanged(s.entries, entry, (HELD, FRESH, False)))

    @rule("entries", "believed")
    def take_back(self, s: Any) -> Steps:
        """CANCEL_ENTRIES and FLATTEN cancel what still works at the venue."""
        if self.policy.cancels_entries and TAKES_BACK & set(s.believed):
            for entry in _each(s.entries, WORKING):
                yield ours("the halt takes an entry back", entries=exchanged(s.entries, entry, (OVER, FRESH, False)))

    @rule("entries", "believed")
    def leave(self, s: Any) -> Steps:
        """Positions are left for reasons of their own, and when a halt says FLATTEN; no halt keeps an exit back."""
        for entry in _each(s.entries, HELD):
            end = ours if HaltMode.FLATTEN in s.believed else chance
            yield end("an exit is intended", entries=exchanged(s.entries, entry, (LEAVING, FRESH, False)))
        if self.policy.halt_blocks_exits and any(s.believed):
            return
        for entry in _each(s.entries, LEAVING):
            yield ours("the exit is placed and fills", entries=exchanged(s.entries, entry, (OVER, FRESH, False)))
            yield fault(
                "the exit is lost and will be tried anew", entries=exchanged(s.entries, entry, (HELD, FRESH, False))
            )

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    @law(HALTED, "entries")
    def law_1_halted(self, s: Any) -> bool:
        """I9."""
        return not any(entry[:2] == (WORKING, HALTED_AT_COMMIT) for entry in s.entries)

    @law(STALE, "entries")
    def law_2_stale(self, s: Any) -> bool:
        """I9, also after the halt was lifted."""
        return not any(entry[:2] == (WORKING, OLD_AT_COMMIT) for entry in s.entries)

    @goal(LEAVES, "entries", "halts")
    def goal_quiet(self, s: Any) -> bool:
        """Nothing is under way, and what the halts in force want gone is gone. Lifting a halt is not counted on."""
        phases = {entry[0] for entry in s.entries}
        wanted = {OVER, HELD}
        if not TAKES_BACK & set(s.halts):
            wanted.add(WORKING)
        if HaltMode.FLATTEN in s.halts:
            wanted.discard(HELD)
        return phases <= wanted


def _older(entry: Entry) -> Entry:
    """An intent, or one about to be, whose epoch is passed by a halt that is committed now."""
    return (entry[0], OLD, entry[2]) if entry[0] in {WEIGHED, APPROVED, DECIDED} else entry


def _each(entries: Entries, phase: str) -> list[Entry]:
    return [entry for entry in dict.fromkeys(entries) if entry[0] == phase]
