"""The schedule of a run follows from its seed, and no two faults of a volley share a domain."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from chaos.options import Options
from chaos.recovery import percentile
from chaos.storm import chosen_kinds, draw_volley
from common.domain.errors import InvalidInput


def volleys(seed: int, count: int = 50) -> list[list[str]]:
    dice = random.Random(f"storm {seed}")
    kinds = chosen_kinds(())
    return [[item.name for item in draw_volley(dice, kinds, 6)] for _ in range(count)]


def test_the_same_seed_draws_the_same_faults() -> None:
    assert volleys(1) == volleys(1)
    assert volleys(1) != volleys(2)


def test_no_two_faults_of_a_volley_share_a_domain() -> None:
    domains = {item.name: item.domain for item in chosen_kinds(())}
    assert all(len({domains[name] for name in drawn}) == len(drawn) for drawn in volleys(3))


def test_every_kind_is_drawn_in_a_long_run() -> None:
    assert set(Counter(name for drawn in volleys(4, 1000) for name in drawn)) == {
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
