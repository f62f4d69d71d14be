"""A strategy is tried out before the fleet relies on it, and what is wrong with it is said with its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from common.domain import strategies
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.strategies import Entries, Rules, registry, try_out
from tests.domain.features_candles import walk


class Plain(Rules):
    """Says nothing."""

    name = "plain"
    features = ("atr_14",)

    def evaluate(self, features: Any, columns: Columns) -> Entries:
        atr = features["atr_14"]
        nothing = np.zeros(len(columns))
        return Entries(nothing.astype(np.int8), nothing, stop=atr, target=atr, trail=atr)


def spoilt(**changes: Any) -> type[Plain]:
    """The strategy with parts of its answer replaced."""

    class Spoilt(Plain):
        def evaluate(self, features: Any, columns: Columns) -> Entries:
            return replace(super().evaluate(features, columns), **changes)

    return Spoilt


def tried(kind: type[Plain], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_KINDS", {"plain": kind})
    return try_out("plain", lambda candles: walk(3, candles))


def test_a_sound_strategy_is_handed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tried(Plain, monkeypatch).name == "plain"


@pytest.mark.parametrize("name", strategies.names())
def test_every_strategy_of_ours_is_sound(name: str) -> None:
    assert try_out(name, lambda candles: walk(3, candles)).name == name


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (spoilt(side=np.zeros(2, dtype=np.int8)), "side has the shape (2,)"),
        (spoilt(leaves_long=np.zeros(2, dtype=bool)), "leaves_long has the shape (2,)"),
        (spoilt(target=3.0), "target has the shape ()"),
        (type("Unknown", (Plain,), {"features": ("no_such_thing_3",)}), "NotFound"),
        (type("Broken", (Plain,), {"evaluate": lambda *_: 1 // 0}), "ZeroDivisionError"),
        (type("Loud", (Plain,), {"evaluate": lambda s, f, c: replace(Plain().evaluate(f, c), side=np.full(len(c), 2))}),
         "side holds values other than -1, 0 and 1"),
    ],
)  # fmt: skip
def test_an_unsound_one_is_named_with_its_fault(kind: type[Plain], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        InvalidInput, match="strategy: 'plain' is not accepted; expected one that can be eval"
    ) as refusal:
        tried(kind, monkeypatch)
    assert said in str(refusal.value)
