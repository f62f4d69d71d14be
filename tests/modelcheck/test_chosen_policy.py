"""The chosen policy has no bad state, whatever the venue, and leans on the project's own table of moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from common.domain.order import ADOPTIONS, TRANSITIONS, OrderStatus
from modelcheck.engine import check
from modelcheck.halt_machine import HaltMachine
from modelcheck.ledger import moved
from modelcheck.order_machine import OrderMachine, Venue
from modelcheck.policies import CHOSEN
from modelcheck.run import MACHINES, UNIQUENESS, whole
from modelcheck.stop_machine import StopMachine

S = OrderStatus
MOVES = [(source, destination) for source in TRANSITIONS for destination in sorted(TRANSITIONS[source])]


@pytest.fixture
def forgetful() -> Iterator[None]:
    """Moves are looked up in the table anew, before and after a test that changes it."""
    moved.cache_clear()
    yield
    moved.cache_clear()


@pytest.mark.parametrize("uniqueness", UNIQUENESS)
@pytest.mark.parametrize(
    "quirks",
    [{}, {"dates_fills": False}, {"keeps_horizon": False}],
    ids=["keeps its word", "tells fills after the end", "breaks its horizon"],
)
def test_the_order_machine_has_no_bad_state(uniqueness: str, quirks: dict[str, bool]) -> None:
    walk = check(OrderMachine(CHOSEN, Venue(uniqueness, **quirks), quantity=2, eyes=1))
    assert (walk.flaw, walk.bad) == (None, 0)
    assert walk.states > 30_000


def test_the_stop_machine_has_no_bad_state() -> None:
    walk = check(StopMachine(CHOSEN, quantity=2, deadline=1))
    assert (walk.flaw, walk.bad) == (None, 0)
    assert walk.states > 7_000


def test_the_halt_machine_has_no_bad_state() -> None:
    walk = check(HaltMachine(CHOSEN, entries=3, halts=2))
    assert (walk.flaw, walk.bad) == (None, 0)
    assert walk.states > 2_000


@pytest.mark.parametrize(("source", "destination"), MOVES)
def test_every_move_of_the_table_is_walked_and_missed_where_it_is_taken_out(
    source: S, destination: S, monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    monkeypatch.setitem(TRANSITIONS, source, TRANSITIONS[source] - {destination})
    flaws = [check(OrderMachine(CHOSEN, Venue(dates_fills=dates), quantity=2, eyes=1)).flaw for dates in (True, False)]
    assert f"an order is asked to go from {source} to {destination}" in {flaw.trace[-1] for flaw in flaws if flaw}


def test_adoption_from_not_placed_is_walked_where_the_venue_breaks_its_horizon(
    monkeypatch: pytest.MonkeyPatch, forgetful: None
) -> None:
    monkeypatch.setitem(ADOPTIONS, S.NOT_PLACED, frozenset())
    flaw = check(OrderMachine(CHOSEN, Venue(keeps_horizon=False), quantity=2, eyes=1)).flaw
    assert flaw is not None
    assert "NOT_PLACED" in " ".join(flaw.trace)


def test_the_whole_check_covers_every_machine_and_every_kind_of_venue() -> None:
    builds = list(whole(CHOSEN))
    assert {name for name, _ in builds} == set(MACHINES)
    machines = [build() for name, build in builds if name == "order"]
    seen = {machine.venue for machine in machines if isinstance(machine, OrderMachine)}
    assert {(venue.uniqueness, venue.window, venue.horizon) for venue in seen} == {
        (uniqueness, window, horizon) for uniqueness in UNIQUENESS for window in (1, 2) for horizon in (1, 2)
    }
