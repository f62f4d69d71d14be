"""docs/risk.md says of every rule and every limit what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from common.domain.codec import encode
from common.domain.risk.judge import LEVELS
from common.domain.risk.limits import FIELDS, PLATFORM_CEILINGS, PROFILES, Threshold
from common.domain.risk.verdict import Rule

PAGE = (Path(__file__).parents[2] / "docs" / "risk.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.+?)(?=\n\n#|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
ROWS = dict(re.findall(r"^\| `(\w+)` (\|.*)$", PAGE, flags=re.MULTILINE))
COLUMNS = [*(PROFILES[name] for name in ("standard", "scalper", "futures", "spot")), PLATFORM_CEILINGS]


def shown(value: Threshold | None) -> str:
    return "–" if value is None else str(encode(value))


def test_every_rule_has_its_paragraph_in_the_order_of_judging() -> None:
    assert list(SECTIONS) == [rule.value for rule in Rule]


@pytest.mark.parametrize("rule", Rule)
def test_a_paragraph_says_unit_default_and_source(rule: Rule) -> None:
    text = SECTIONS[rule.value]
    assert "Unit: " in text or "against 0" in text
    assert re.search(r"Default:\s", text)
    assert re.search(r"Source:\s+(design \d|[A-Z]+-\d)", text)


@pytest.mark.parametrize("name", FIELDS)
def test_the_table_of_limits_holds_the_codes_numbers(name: str) -> None:
    about = FIELDS[name].metadata
    cells = [about["unit"], about["source"], *(shown(getattr(limits, name)) for limits in COLUMNS)]
    assert ROWS[name] == "| " + " | ".join(cells) + " |"


def test_the_table_holds_no_limit_that_does_not_exist() -> None:
    assert list(ROWS) == list(FIELDS)


def test_every_level_has_its_heading_and_its_rules_beneath_it() -> None:
    parts = re.split(r"^## Level \d.*$", PAGE, flags=re.MULTILINE)[1:]
    headed = [re.findall(r"^### `(\w+)`$", part, flags=re.MULTILINE) for part in parts]
    assert headed == [[rule.value for rule in rules] for rules in LEVELS.values()]
