"""What the fleet does, and what others do instead: one flag for each decision that a promise hangs on."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Policy:
    """The decisions of a fleet; the defaults are Tradewinds' own, every other value is known to lose money."""

    # Orders.
    intent_first: bool = True
    compares_and_sets: bool = True
    resends: str = ""  # "same id" or "new id": an order in doubt is sent again.
    timeout_means: str = "unknown"  # or "rejected"
    absence_means: str = "ask again"  # or "rejected", "resend"
    has_window: bool = True
    has_horizon: bool = True
    stamps_commit: bool = True  # Else the request carries the time at which it is sent.
    reads_clock_first: bool = True  # Else the time of the evidence is read after the venue has answered.
    adopts: bool = True
    cancel_ack_ends: bool = False
    cancel_refusal_ends: bool = False
    unknown_releases: bool = False
    view_takes_back: bool = False  # A look at the venue that is older than what is known is written all the same.
    # Protection.
    monitor_protects: bool = True
    stop_reduces_only: bool = True
    exit_reduces_only: bool = True
    replaces_stop: bool = False  # On a second fill the resting stop is cancelled and a full-size one is placed.
    any_stop_covers: bool = False  # A position with a stop over a part of it counts as covered.
    cancels_orphans: bool = True
    flattens_at_deadline: bool = True
    # Halts.
    halt_checked: str = "in the submitting transaction, epoch held still"
    compares_epoch: bool = True
    halt_blocks_exits: bool = False
    resume_lifts_all: bool = False
    halt_in_cache: bool = False
    cancels_entries: bool = True


CHOSEN = Policy()


@dataclass(frozen=True, slots=True)
class Naive:
    """A policy that is known to be wrong: its name, what it does, the machine that shows it, and what it breaks."""

    name: str
    words: str
    machine: str
    policy: Policy
    breaks: str


def _naive(name: str, words: str, machine: str, breaks: str, **changes: object) -> Naive:
    return Naive(name, words, machine, replace(CHOSEN, **changes), breaks)  # type: ignore[arg-type]


DOUBLE = "at most one entry per intent is accepted"
UNRESERVED = "a reservation is held as long as an entry may exist"
SETTLED = "no order is alive at the venue that the ledger holds for ended"
UNINTENDED = "no order is at the venue without a committed intent"
ENDS = "every intent ends, and the ledger equals the venue"
NAKED = "no position is without full cover beyond the deadline unless an exit is under way"
FLIP = "no stop or exit turns a position round"
STRIPPED = "no cover is taken away from a position that is held"
COVERED = "every position becomes flat with nothing left behind, or fully covered"
HALTED = "no entry whose SUBMITTING was committed after a halt is accepted"
STALE = "no entry that was approved before a halt leaves after it"
IN_TABLE = "every move is one of the order table"
LEAVES = "exits leave and halts take entries back, whatever is halted"

NAIVE: tuple[Naive, ...] = (
    _naive("resend-same-id", "an order in doubt is sent again with the same id", "order", DOUBLE, resends="same id"),
    _naive("resend-new-id", "an order in doubt is sent again with a new id", "order", DOUBLE, resends="new id"),
    _naive("timeout-is-failure", "a timeout means the order failed", "order", UNRESERVED, timeout_means="rejected"),
    _naive("not-found-is-rejected", "an order not found was rejected", "order", UNRESERVED, absence_means="rejected"),
    _naive("query-then-resend", "an order not found once is sent again", "order", DOUBLE, absence_means="resend"),
    _naive("no-validity-window", "requests are valid for ever", "order", UNRESERVED, has_window=False),
    _naive("no-visibility-horizon", "the window alone proves absence", "order", UNRESERVED, has_horizon=False),
    _naive("fresh-stamp", "requests carry the time of sending", "order", UNRESERVED, stamps_commit=False),
    _naive("clock-after-answer", "evidence is dated when it is judged", "order", UNRESERVED, reads_clock_first=False),
    _naive("no-adoption", "what turns up later is not adopted", "order", ENDS, adopts=False),
    _naive("cancel-ack-ends", "a cancel's acknowledgement ends the order", "order", UNRESERVED, cancel_ack_ends=True),
    _naive("cancel-refusal-ends", "`unknown order` on a cancel ends it", "order", UNRESERVED, cancel_refusal_ends=True),
    _naive("unknown-releases", "the reservation is released on UNKNOWN", "order", UNRESERVED, unknown_releases=True),
    _naive("wire-before-intent", "the order is sent, then written down", "order", UNINTENDED, intent_first=False),
    _naive("no-compare-and-set", "SUBMITTING is written unconditionally", "order", DOUBLE, compares_and_sets=False),
    _naive("view-takes-back", "an old look undoes newer knowledge", "order", IN_TABLE, view_takes_back=True),
    _naive("stop-by-filler-only", "only who learns a fill places its stop", "stop", NAKED, monitor_protects=False),
    _naive("stop-not-reduce-only", "stops may increase a position", "stop", FLIP, stop_reduces_only=False),
    _naive("exit-not-reduce-only", "exits may increase a position", "stop", FLIP, exit_reduces_only=False),
    _naive("stop-replaced", "a second fill replaces the stop by a full-size one", "stop", STRIPPED, replaces_stop=True),
    _naive("any-stop-covers", "a stop over a part counts as cover", "stop", NAKED, any_stop_covers=True),
    _naive("orphans-stay", "stops of a flat position are left resting", "stop", COVERED, cancels_orphans=False),
    _naive("no-deadline", "a refused stop is only tried again", "stop", NAKED, flattens_at_deadline=False),
    _naive("halt-at-approval", "halts are looked at by risk only", "halt", HALTED, halt_checked="at approval"),
    _naive("halt-before-transaction", "halts are looked at before it", "halt", HALTED, halt_checked="before it"),
    _naive("epoch-not-held", "the epoch is read without a lock", "halt", HALTED, halt_checked="in it, not held"),
    _naive("epoch-not-compared", "only halts now in force are looked at", "halt", STALE, compares_epoch=False),
    _naive("halt-in-cache", "the halt is kept where it can be flushed", "halt", HALTED, halt_in_cache=True),
    _naive("resume-lifts-all", "one resume lifts every halt", "halt", HALTED, resume_lifts_all=True),
    _naive("exit-blocked-by-halt", "a halt blocks every order", "halt", LEAVES, halt_blocks_exits=True),
    _naive("halt-leaves-entries", "working entries outlive the halt", "halt", LEAVES, cancels_entries=False),
)
