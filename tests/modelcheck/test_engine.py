"""The checker finds what is wrong, by the shortest way, and says so in words."""

from __future__ import annotations

import pytest

from modelcheck.engine import check
from tests.modelcheck.machines import Counter, Peeper, Trap


def test_a_machine_without_a_flaw_is_walked_whole() -> None:
    walk = check(Counter(top=9, allowed=9))
    assert (walk.states, walk.bad, walk.flaw) == (10, 0, None)
    assert walk.transitions == 9 + 8


def test_a_planted_bug_is_found_by_the_shortest_way() -> None:
    flaw = check(Counter(top=9, allowed=5)).flaw
    assert flaw is not None
    assert flaw.violates == "the number is allowed"
    assert flaw.trace == ("add two", "add two", "add two")


def test_a_search_bounded_below_the_flaw_finds_nothing() -> None:
    assert check(Counter(top=9, allowed=5), depth_max=2).flaw is None
    assert check(Counter(top=9, allowed=5), depth_max=3).flaw is not None


def test_a_goal_that_only_chance_leads_to_is_not_reachable() -> None:
    walk = check(Trap(top=4, allowed=4))
    assert walk.flaw is not None
    assert (walk.flaw.violates, walk.flaw.trace) == ("the top is reached", ("add two",))
    assert walk.bad == 1


def test_a_rule_cannot_look_at_what_it_does_not_name() -> None:
    with pytest.raises(AttributeError, match="light"):
        check(Peeper(top=3, allowed=3))


def test_a_state_can_be_shown_by_its_fields() -> None:
    machine = Counter(top=3, allowed=3)
    assert machine.show(machine.first) == {"number": 0, "light": False, "illegal": False}
