"""Checks: our strategies pass, and a planted look-ahead or a forgotten warm-up is found."""

from __future__ import annotations

import numpy as np
import pytest

from common.domain import strategies
from common.domain.backtest import lookahead_findings, recursive_findings
from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.strategies import Entries, Rules
from common.domain.strategies.base import Features
from tests.domain.features_candles import walk


def entries_where(long: np.ndarray, distance: Series) -> Entries:
    return Entries(long.astype(np.int8), np.ones(long.size), distance, distance, distance)


class Clairvoyant(Rules):
    """Buys before the close rises."""

    name = "clairvoyant"
    features = ("atr_14",)

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        tomorrow = np.append(columns.close[1:], columns.close[-1:])
        return entries_where(tomorrow > columns.close, features["atr_14"])


class Normalising(Rules):
    """Measures its stop by the range of all candles, those to come too."""

    name = "normalising"
    features = ("roc_10",)

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        return entries_where(features["roc_10"] > 1, np.full(len(columns), columns.high.max() - columns.low.min()))


class Forgetful(Rules):
    """Says that four candles are history enough for an average of fifty."""

    name = "forgetful"
    features = ("ema_50",)
    history = 60

    def evaluate(self, features: Features, columns: Columns) -> Entries:
        return entries_where(columns.close > features["ema_50"], features["ema_50"])


@pytest.mark.parametrize("name", strategies.names())
def test_no_strategy_of_ours_looks_ahead_or_depends_on_where_its_candles_begin(name):
    columns = walk(21, 2600)
    assert lookahead_findings(strategies.get(name), columns) == []
    assert recursive_findings(strategies.get(name), columns) == []


def test_a_planted_look_ahead_is_found_where_it_is():
    findings = lookahead_findings(Clairvoyant(), walk(22, 300), cuts=range(100, 110))
    assert {finding.field for finding in findings} >= {"side"}
    assert all(finding.bar == finding.last - 1 for finding in findings if finding.field == "side")


def test_a_number_scaled_by_the_future_is_found_at_the_default_cuts():
    assert {finding.field for finding in lookahead_findings(Normalising(), walk(23, 600))} == {
        "stop",
        "target",
        "trail",
    }


def test_a_history_that_is_too_short_is_found_with_both_values():
    findings = recursive_findings(Forgetful(), walk(24, 900), bars=(500, 899))
    assert findings[0].field == "ema_50"
    assert (findings[0].bar, findings[0].first, findings[0].last) == (500, 441, 501)
    assert findings[0].known_all != findings[0].known_part


class ShortSighted(strategies.RsiMeanReversion):
    """Says that it looks at one bar and looks at the one before as well."""

    reach = 1


def test_a_reach_that_is_too_short_is_found():
    assert recursive_findings(strategies.get("rsi_mean_reversion"), walk(24, 3000)) == []
    assert "side" in {finding.field for finding in recursive_findings(ShortSighted(), walk(24, 3000), range(600, 900))}


def test_bars_without_history_before_them_and_markets_without_signals_are_not_judged():
    assert recursive_findings(Forgetful(), walk(24, 900), bars=(10,)) == []
    assert lookahead_findings(strategies.get("smart_money"), walk(24, 30)) == []
