"""The schedule of a run follows from its seed, and two faults that share a domain strike one after the other."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from chaos.options import Options
from chaos.recovery import percentile
from chaos.storm import LANE_S, chosen_kinds, draw_squall
from common.domain.errors import InvalidInput


def squalls(seed: int, count: int = 50) -> list[list[list[str]]]:
    dice = random.Random(f"storm {seed}")
    kinds = chosen_kinds(())
    return [[[item.name for item in lane] for lane in draw_squall(dice, kinds, 48)] for _ in range(count)]


def test_the_same_seed_draws_the_same_faults() -> None:
    assert squalls(1) == squalls(1)
    assert squalls(1) != squalls(2)


def test_what_shares_a_domain_shares_a_lane_and_no_lane_is_long() -> None:
    kinds = {item.name: item for item in chosen_kinds(())}
    for lanes in squalls(3):
        found = [[kinds[name] for name in lane] for lane in lanes]
        domains = [{item.domain for item in lane} for lane in found]
        shared = [domain for (domain,) in domains if domain]
        assert len(shared) == len(set(shared))
        assert all(
            sum(item.takes_s for item in lane[1:]) < LANE_S + max(item.takes_s for item in lane) for lane in found
        )


def test_what_strikes_requests_of_its_own_is_in_force_beside_others() -> None:
    lanes = draw_squall(random.Random(1), chosen_kinds(("venue_late_request",)), 12)
    assert [len(lane) for lane in lanes] == [1] * 12


def test_what_moves_the_venues_clock_comes_last_in_its_lane() -> None:
    kinds = chosen_kinds(("kill_switch", "venue_clock_step"))
    lanes = [lane for seed in range(50) for lane in draw_squall(random.Random(seed), kinds, 6)]
    moved = [[item.moves_time for item in lane] for lane in lanes]
    assert any(len(set(lane)) == 2 for lane in moved)
    assert all(lane == sorted(lane) for lane in moved)


def test_a_squall_of_one_kind_is_as_long_as_its_lane_may_be() -> None:
    (lane,) = draw_squall(random.Random(1), chosen_kinds(("worker_kill",)), 48)
    assert sum(item.takes_s for item in lane[1:]) < LANE_S <= sum(item.takes_s for item in lane)


def test_every_kind_is_drawn_in_a_long_run() -> None:
    assert set(Counter(name for lanes in squalls(4, 400) for lane in lanes for name in lane)) == {
        item.name for item in chosen_kinds(())
    }


def test_only_the_named_kinds_are_drawn() -> None:
    assert [item.name for item in chosen_kinds(("valkey_flush", "worker_kill"))] == ["valkey_flush", "worker_kill"]
    with pytest.raises(InvalidInput, match="valkey_flush"):
        chosen_kinds(("valkey_flash",))


def test_a_run_names_the_command_that_repeats_it() -> None:
    command = Options(faults=7, seed=3, kinds=("kill_switch",)).command()
    assert command.startswith("tradewinds chaos --faults 7 --seed 3 --kinds kill_switch")


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99), percentile([], 0.5)) == (51.0, 100.0, 0.0)
