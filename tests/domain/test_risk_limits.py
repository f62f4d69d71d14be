"""Limits resolve in layers, and nothing a tenant writes is looser than the platform's ceilings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.errors import InvalidInput, NotFound
from common.domain.risk.limits import (
    FIELDS,
    PLATFORM_CEILINGS,
    PROFILES,
    Bound,
    Kind,
    Limits,
    bound_of,
    clamp,
    is_looser,
    resolve,
)

D = Decimal


def test_every_profile_lies_inside_the_ceilings() -> None:
    looser = {
        (profile, name)
        for profile, limits in PROFILES.items()
        for name in FIELDS
        if is_looser(name, getattr(limits, name), getattr(PLATFORM_CEILINGS, name))
    }
    assert looser == set()


def test_every_limit_says_its_direction_kind_unit_and_source() -> None:
    assert {bound_of(name) for name in FIELDS} == set(Bound)
    assert all(item.metadata["kind"] in Kind for item in FIELDS.values())
    assert all(item.metadata["unit"] and item.metadata["source"] for item in FIELDS.values())


def test_the_profiles_hold_the_numbers_of_the_design() -> None:
    scalper, futures, spot, standard = (PROFILES[name] for name in ("scalper", "futures", "spot", "standard"))
    assert (scalper.btc_quantity_max, scalper.leverage_max, scalper.daily_loss_max) == (D("0.5"), 3, D("0.02"))
    assert (scalper.drawdown_max, scalper.spread_bps_max) == (D("0.05"), D(10))
    assert (scalper.hold_min, scalper.hold_max) == (timedelta(seconds=5), timedelta(minutes=5))
    assert scalper.consecutive_losses_max == 5
    assert (futures.leverage_max, futures.major_leverage_max, futures.position_count_max) == (20, 50, 5)
    assert (futures.notional_equity_max, futures.major_notional_equity_max) == (D("1.5"), D(10))
    assert (futures.margin_use_max, futures.reward_min) == (D("0.9"), D(2))
    assert (spot.entry_leverage_max, spot.leverage_max, spot.notional_max) == (1, 1, D(250))
    assert {limits.entry_leverage_max for limits in (standard, scalper, futures)} == {3}


def test_settings_override_the_profile_in_the_kind_of_the_limit() -> None:
    limits = resolve(
        "standard",
        {
            "spread_bps_max": "12.5",
            "position_count_max": 2,
            "quote_age_max": "2.5",
            "volume_ratio_min": None,
            "sharpe_min": -1.5,
            "hold_max": timedelta(minutes=3),
        },
    )
    assert limits == replace(
        PROFILES["standard"],
        spread_bps_max=D("12.5"),
        position_count_max=2,
        quote_age_max=timedelta(seconds=2.5),
        volume_ratio_min=None,
        sharpe_min=D("-1.5"),
        hold_max=timedelta(minutes=3),
    )


def test_no_settings_mean_the_profile() -> None:
    assert [resolve(name, {}) for name in PROFILES] == list(PROFILES.values())


REFUSED: list[tuple[str, object, str]] = [
    ("leverage_max", 21, "from 0 to 20"),
    ("leverage_max", None, "from 0 to 20"),
    ("samples_min", 4, "from 5 up"),
    ("breaker_cooldown_min", 60, "from 3600 s up"),
    ("quote_age_max", "31", "from 0 to 30 s"),
    ("daily_loss_max", "0.11", "from 0 to 0.10"),
    ("daily_loss_max", "-0.01", "a number from 0"),
    ("daily_loss_max", "NaN", "a number from 0"),
    ("daily_loss_max", "much", "a number from 0"),
    ("daily_loss_max", [1], "a number from 0"),
    ("position_count_max", "2.5", "a whole number"),
    ("position_count_max", True, "a whole number"),
    ("position_count_max", "Infinity", "a whole number"),
    ("notional_max", "1e13", "a number from 0"),
    ("hold_max", "soon", "seconds from 0"),
    ("sharpe_min", "x", "a number, or null"),
]


@pytest.mark.parametrize(("name", "value", "accepted"), REFUSED)
def test_a_setting_that_cannot_be_is_refused_with_field_value_and_range(
    name: str, value: object, accepted: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        resolve("standard", {name: value})
    assert refusal.value.field == f"limits.{name}"
    assert refusal.value.value == value
    assert accepted in refusal.value.accepted


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="nearest is spread_bps_max"):
        resolve("standard", {"spread_max_bps": 5})


def test_an_unknown_profile_is_answered_with_those_that_exist() -> None:
    with pytest.raises(NotFound, match="futures, scalper, spot, standard"):
        resolve("yolo", {})


def test_hold_times_that_exclude_one_another_are_refused() -> None:
    with pytest.raises(InvalidInput, match="hold_min"):
        resolve("scalper", {"hold_min": 301})


def test_a_lowered_ceiling_binds_profiles_and_stored_settings_without_stopping_anybody() -> None:
    lowered = replace(PLATFORM_CEILINGS, leverage_max=2, samples_min=50)
    limits = resolve("standard", {"leverage_max": 3}, lowered, strict=False)
    assert (limits.leverage_max, limits.samples_min) == (2, 50)
    assert resolve("standard", {}, lowered).leverage_max == 2


def test_clamping_leaves_what_is_tighter() -> None:
    tight = replace(PROFILES["standard"], leverage_max=1)
    assert clamp(tight) == tight
    assert clamp(Limits()) == PLATFORM_CEILINGS


AROUND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.DECIMAL: st.decimals(0, 25, places=3).map(str),
    Kind.WHOLE: st.integers(0, 60),
    Kind.DURATION: st.integers(0, 200_000),
}


def values(name: str) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), AROUND[FIELDS[name].metadata["kind"]])


SETTINGS = st.fixed_dictionaries({}, optional={name: values(name) for name in FIELDS})


@given(st.sampled_from(sorted(PROFILES)), SETTINGS)
def test_nothing_resolves_looser_than_the_ceilings(profile: str, settings: dict[str, Any]) -> None:
    settings = settings | {"hold_min": None}
    limits = resolve(profile, settings, strict=False)
    assert not [n for n in FIELDS if is_looser(n, getattr(limits, n), getattr(PLATFORM_CEILINGS, n))]


@given(st.sampled_from(sorted(FIELDS)), st.data())
def test_strict_settings_are_either_taken_as_they_are_or_refused(name: str, data: st.DataObject) -> None:
    value = data.draw(values(name))
    loose = resolve("futures", {name: value}, Limits())
    wanted, ceiling = getattr(loose, name), getattr(PLATFORM_CEILINGS, name)
    outcomes = {True: InvalidInput, False: wanted}
    assert outcomes[is_looser(name, wanted, ceiling)] == taken(name, value)


def taken(name: str, value: object) -> object:
    try:
        return getattr(resolve("futures", {name: value}), name)
    except InvalidInput:
        return InvalidInput
