"""What may be typed, and what is answered to what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.options import STAGES, check_stage, seconds, shares
from cli.output import because, cell
from common.domain.errors import InvalidInput


@pytest.mark.parametrize(("text", "meant"), [("90s", 90), ("90", 90), ("1.5m", 90), ("2h", 7200), (" 1d ", 86400)])
def test_a_duration_is_a_number_and_a_unit(text: str, meant: float) -> None:
    assert seconds(text) == meant


@pytest.mark.parametrize("text", ["", "0s", "-5s", "5 minutes", "1w", "nan", "1e9s", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="90s"):
        seconds(text)


@given(number=st.integers(1, 64), stage=st.sampled_from(STAGES))
def test_a_share_names_stage_and_slots(number: int, stage: str) -> None:
    assert shares([f"{stage}={number}"]) == {stage: number}


@pytest.mark.parametrize("text", ["llm", "llm=0", "llm=65", "llm=x", "beat=1", "=1"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        shares([text])


def test_an_unknown_stage_is_answered_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match="signal, llm, risk, execution, position, maintenance"):
        check_stage("foo")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        ("", "–"),
        (0, "0"),
        ("0.000", "0"),
        ("10000.00000000", "10000"),
        ("-2.6369055000000000000000001", "-2.6369055"),
        ("2024-03-01T12:00:02+00:00", "03-01 12:00:02"),
        (["a", None], "a, –"),
        ("BTC/USDT:USDT", "BTC/USDT:USDT"),
    ],
)
def test_a_cell_is_as_short_as_it_can_be_read(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_refusal_reads_as_rule_and_two_numbers() -> None:
    veto = {"rule": "spread_too_wide", "measured": "12.5", "limit": "10", "unit": "bps", "detail": ""}
    assert because({"veto": veto}) == "spread_too_wide: 12.5 against 10 bps"
    assert because({"veto": veto | {"detail": "thin"}}) == "spread_too_wide: 12.5 against 10 bps (thin)"
    assert because({"veto": None, "reason": "no instrument"}) == "no instrument"
