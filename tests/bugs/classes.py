"""The classes of failure that trading systems show in public, and what of ours stands for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FailureClass:
    """One class: the seeded bugs that commit it, or the test that holds it where the simulation has no such thing."""

    number: int
    what: str
    bugs: tuple[str, ...] = ()
    elsewhere: str = ""


CLASSES: tuple[FailureClass, ...] = (
    FailureClass(
        1,
        "timeout, blind retry, double order",
        ("blind-retry", "resend-when-found-in-doubt", "commit-lost-is-retried-with-a-copy", "order-split-in-two"),
    ),
    FailureClass(
        2,
        "cancelled here, filled at the venue",
        ("cancel-is-done", "halt-writes-off-what-is-in-doubt", "terminal-before-fills"),
    ),
    FailureClass(
        3,
        "marked failed or lost, filled later",
        ("unknown-is-failure", "not-found-is-not-placed", "skip-window", "late-order-not-adopted"),
    ),
    FailureClass(4, "the venue forgets an order for a while", ("skip-horizon",)),
    FailureClass(5, "a fill booked twice after a restart", ("fill-booked-twice",)),
    FailureClass(6, "a restart ignores what is really held", ("trades-unreconciled",)),
    FailureClass(7, "protection lost, the position is naked", ("stop-not-placed", "half-a-stop")),
    FailureClass(8, "the set of open orders drifts from the venue's", ("strangers-left-alone", "ours-is-quarantined")),
    FailureClass(
        9,
        "partial fills counted wrongly",
        ("first-fill-ends-the-order", "position-from-the-order", "stop-not-resized", "end-without-fills"),
    ),
    FailureClass(
        10,
        "stops placed again after the close, orphan stops",
        ("orphan-stop", "stop-of-an-old-position", "reduce-only-dropped"),
    ),
    FailureClass(11, "stops cancelled and placed again without end", ("stop-placed-anew-at-every-visit",)),
    FailureClass(12, "a replacement leaves a ghost", ("closed-when-asked", "one-exit-only")),
    FailureClass(13, "an old trade's fill is given to a new one", ("strange-fill-adopted", "late-fill-ignored")),
    FailureClass(
        14,
        "a delisted market or a price of 0 stops the loop or sells at any price",
        elsewhere="tests/domain/test_exits.py, tests/services/test_positions.py",
    ),
    FailureClass(15, "dust, quantities of 0, rounding up past the margin", ("quantity-off-the-grid",)),
    FailureClass(16, "a short read as a close", ("short-profit-inverted", "stop-on-the-wrong-side")),
    FailureClass(17, "many bots, one address, banned", elsewhere="tests/adapters/test_rate_broker.py"),
    FailureClass(18, "clocks and stamps", ("fresh-stamp-at-send",)),
    FailureClass(19, "maintenance crashes or loops", ("transient-is-permanent",)),
    FailureClass(
        20,
        "the database is lost after the order has gone out",
        ("send-before-commit", "commit-lost-is-failure", "unknown-is-success", "forget-to-settle"),
    ),
    FailureClass(21, "stale candles act or block", ("expired-entry-sent", "late-question-drops-the-signal")),
    FailureClass(
        22, "a websocket that is dead and open", elsewhere="tests/workers/test_stream.py, the chaos kinds stream_fault"
    ),
    FailureClass(
        23,
        "funding wrong, twice or not at all",
        ("funding-not-booked", "funding-asked-for-only-while-held", "fees-left-out"),
    ),
    FailureClass(24, "liquidated, and nobody knows", elsewhere="tests/services/test_positions.py, tests/adapters"),
    FailureClass(
        25, "the model's answer acts where it may only refuse", ("advice-not-heard", "no-answer-drops-the-signal")
    ),
    FailureClass(
        26,
        "tasks lost, doubled or overtaken",
        ("no-relay", "job-done-before-its-work", "signal-kept-before-its-jobs", "expiry-not-recorded"),
    ),
    FailureClass(27, "paper does something else than live", ("paper-with-real-keys",)),
    FailureClass(28, "keys seen where they must not be", ("keys-in-the-audit-trail", "one-venue-for-all-accounts")),
)
"""Numbered as in the reference on reliability. Further bugs break limits, halts and the audit trail."""
