"""Strategies of the user's own: listed, documented, checked and backtested with no other change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PROJECT

MINE = '''
import numpy as np
from common.domain.indicators.series import previous
from common.domain.strategies import Entries, Rules, register


@register
class Mine(Rules):
    """Follow a close beyond the range of the twenty bars before it."""

    name = "mine"
    features = ("highest_20", "lowest_20", "atr_14")

    def evaluate(self, features, columns):
        top, bottom, atr = (features[name] for name in self.features)
        side = (columns.close > previous(top)).astype(np.int8) - (columns.close < previous(bottom)).astype(np.int8)
        side[: self.warmup] = 0
        return Entries(side, np.full(len(columns), 0.6), stop=1.5 * atr, target=3 * atr, trail=atr)
'''
PROPHET = '''
import numpy as np
from common.domain.strategies import Entries, Rules


class Prophet(Rules):
    """Knows tomorrow."""

    name = "prophet"
    features = ("atr_14",)

    def evaluate(self, features, columns):
        side = np.append(np.sign(np.diff(columns.close)), 0).astype(np.int8)
        atr = features["atr_14"]
        return Entries(side, np.full(len(columns), 0.6), stop=atr, target=atr, trail=atr)
'''
FORGETFUL = '''
import numpy as np
from common.domain.strategies import Entries, Rules


class Forgetful(Rules):
    """Says that sixty candles are history enough for an average of fifty."""

    name = "forgetful"
    features = ("ema_50",)
    history = 60

    def evaluate(self, features, columns):
        mean = features["ema_50"]
        return Entries((columns.close > mean).astype(np.int8), np.full(len(columns), 0.6), mean, mean, mean)
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def tradewinds(*arguments: object, code: int = 0, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, (PROJECT, path))))}
    command = [sys.executable, "-m", "cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_a_strategy_in_a_folder_is_listed_and_documented(folder: Path) -> None:
    listed = json.loads(tradewinds("strategies", "list", "--strategies", folder, "--json").stdout)["strategies"]
    shown = json.loads(tradewinds("strategies", "show", "mine", "--strategies", folder, "--json").stdout)
    assert shown in listed
    assert shown["summary"] == "Follow a close beyond the range of the twenty bars before it."
    assert (shown["features"], shown["parameters"]) == (["highest_20", "lowest_20", "atr_14"], [])


def test_a_strategy_of_a_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (tmp_path / "my_package.py").write_text(MINE.replace("@register\n", ""))
    record = tmp_path / "my_package-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[tradewinds.strategies]\nmine = my_package:Mine\n")
    shown = json.loads(tradewinds("strategies", "show", "mine", "--json", path=tmp_path).stdout)
    assert shown["module"] == "my_package"


def test_no_strategy_of_ours_looks_ahead() -> None:
    found = json.loads(tradewinds("lookahead-check", "--all", "--json").stdout)
    assert (found["findings"], found["strategies"]) == (0, 9)
    assert min(item["signals"] for item in found["checked"]) > 0


def test_a_planted_look_ahead_is_found(folder: Path) -> None:
    (folder / "prophet.py").write_text(PROPHET)
    found = json.loads(tradewinds("lookahead-check", "--all", "--strategies", folder, "--json", code=1).stdout)
    wrong = {item["strategy"] for item in found["checked"] if item["lookahead"]}
    assert (wrong, found["strategies"]) == ({"prophet"}, 11)


def test_a_planted_warm_up_that_is_too_short_is_found(folder: Path) -> None:
    (folder / "forgetful.py").write_text(FORGETFUL)
    arguments = ("lookahead-check", "--strategy", "forgetful", "--strategy", "mine", "--strategies", folder, "--json")
    found = json.loads(tradewinds(*arguments, code=1).stdout)
    assert {item["strategy"] for item in found["checked"] if item["recursive"]} == {"forgetful"}
    assert {item["lookahead"] for item in found["checked"]} == {0}


def test_a_file_that_cannot_be_run_is_named(folder: Path) -> None:
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    said = tradewinds("strategies", "list", "--strategies", folder, code=2).stderr
    assert "broken.py" in said
    assert "ModuleNotFoundError" in said


def test_a_check_of_nothing_is_refused() -> None:
    assert "--all, or --strategy NAME" in tradewinds("lookahead-check", code=2).stderr
