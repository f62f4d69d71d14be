"""Searches and walk-forwards: trials are backtests, told in order, and what they find is judged on other candles."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.domain.backtest import FundingRates, curve, run
from common.domain.backtest.reference import WINDOW
from common.domain.backtest.walk_forward import Gates, windows
from common.domain.errors import InvalidInput
from common.domain.market import EPOCH
from common.domain.search import Objective, Outcome, Tried, Values, space_of
from common.offline import studies
from common.services.run_backtest import Wishes, backtest_setup, chosen_strategy, document, load_markets
from common.services.search_parameters import Course, drive, lag_of, search_document, study_setup
from common.services.try_parameters import Bench, attempt, load_bench
from common.services.walk_forward import courses_of, walk_forward, walk_forward_document
from tests.domain.features_candles import START_MS
from tests.services.tapes import BTC, ETH, Tapes, busy, recording, two_markets

START = EPOCH + timedelta(milliseconds=START_MS)
RSI = Wishes("rsi_mean_reversion", symbols=(BTC,))
DAY = timedelta(days=1)


def day(number: float) -> datetime:
    return START + DAY * number


def bench_of(tapes: Tapes, wishes: Wishes = RSI, objective: Objective = Objective.SHARPE, least: int = 1) -> Bench:
    return load_bench(tapes, wishes, objective, least)


@pytest.fixture(scope="module")
def tapes() -> Tapes:
    """Seven days of two markets."""
    return two_markets(7 * 288)


@pytest.fixture(scope="module")
def bench(tapes: Tapes) -> Bench:
    """The first of them."""
    return bench_of(tapes)


def here(bench: Bench):
    """Trials made in this process, at once."""

    def submit(values: Values, since: datetime | None, until: datetime | None) -> Future[Outcome]:
        future: Future[Outcome] = Future()
        future.set_result(attempt(bench, values, since, until))
        return future

    return submit


def told_of(nothing: str, tried: Tried) -> None:
    """Hear nothing."""


@pytest.mark.parametrize(("window", "span"), [(14, (3, 6)), (9, (0, 7)), (40, (2, 5.5))])
def test_a_trial_comes_to_what_a_backtest_of_the_same_would(bench: Bench, tapes: Tapes, window, span) -> None:
    since, until = day(span[0]), day(span[1])
    outcome = attempt(bench, {"window": window}, since, until)
    wishes = replace(RSI, parameters={"window": window}, since=since, until=until)
    strategy = chosen_strategy(wishes)
    result = run(backtest_setup(load_markets(tapes, wishes, strategy), wishes, strategy))
    answer = document(result, curve(result))
    assert outcome.measured is not None
    assert outcome.value == answer["sharpe"] == outcome.measured.sharpe
    assert (outcome.measured.trades, outcome.measured.net_profit) == (answer["trades"], answer["net_profit"])
    assert float(outcome.measured.max_drawdown) == answer["max_drawdown_at_closes"]
    assert len(outcome.daily) == answer["days"] == -(-(until - since) // DAY)


def test_a_trial_without_dates_takes_all_candles(bench: Bench) -> None:
    assert attempt(bench, {}, None, None).measured == attempt(bench, {}, day(0), day(7)).measured


def test_values_that_the_strategy_refuses_are_told_and_have_no_value(tapes: Tapes) -> None:
    outcome = attempt(bench_of(tapes, Wishes("ema_crossover")), {"fast": 30, "slow": 20}, None, None)
    assert (outcome.value, outcome.measured) == (None, None)
    assert "a window shorter than slow (20)" in str(outcome.refused)


def test_what_seldom_trades_is_measured_and_has_no_value(tapes: Tapes) -> None:
    outcome = attempt(bench_of(tapes, least=10_000), {}, None, None)
    assert outcome.value is None
    assert outcome.measured is not None
    assert outcome.measured.trades > 5


def test_a_market_that_was_not_there_yet_is_left_out_of_a_trial() -> None:
    late = busy(1, 7 * 288).slice(4 * 288, 7 * 288)
    bench = bench_of(Tapes({recording(BTC): busy(0, 7 * 288), recording(ETH): late}), replace(RSI, symbols=()))
    alone = bench_of(Tapes({recording(BTC): busy(0, 7 * 288)}))
    assert len(bench.markets) == 2
    assert attempt(bench, {}, day(1), day(3)) == attempt(alone, {}, day(1), day(3))
    assert attempt(bench, {}, day(5), day(7)) != attempt(alone, {}, day(5), day(7))
    assert "no candles from" in str(attempt(bench, {}, day(9), day(10)).refused)
    assert "no candles from" in str(attempt(bench, {}, day(-3), day(-2)).refused)
    assert "no candles from" in str(attempt(bench, {}, None, day(-2)).refused)


def test_a_bench_keeps_the_candles_that_any_warm_up_may_want(tapes: Tapes) -> None:
    bench = bench_of(tapes, replace(RSI, since=day(4), until=day(6)))
    assert (bench.markets[0].opened_at(0), bench.span) == (day(0), (day(4), day(6)))
    assert bench_of(tapes, RSI).span == (day(0), day(7))
    assert bench_of(tapes, replace(RSI, since=day(-3))).span == (day(0), day(7))
    with pytest.raises(InvalidInput, match="a time of which there are candles"):
        bench_of(tapes, replace(RSI, since=day(40)))


def test_the_reference_is_searched_on_its_own_window_without_a_warm_up() -> None:
    wishes = Wishes("ema_rsi_reference")
    bench = bench_of(Tapes({recording(BTC): busy(0, 600)}), wishes)
    assert bench.wishes.window == WINDOW
    strategy = chosen_strategy(wishes)
    tapes = Tapes({recording(BTC): busy(0, 600)})
    result = run(backtest_setup(load_markets(tapes, wishes, strategy), wishes, strategy))
    measured = attempt(bench, {}, *wishes.window).measured
    assert measured is not None
    assert measured.net_profit == result.final_equity - result.setup.equity


def test_a_bench_is_told_by_its_candles_costs_and_funding(tapes: Tapes) -> None:
    rates = FundingRates(np.array([START_MS]), np.array([0.0001]))
    others = [
        bench_of(two_markets(6 * 288)),
        bench_of(tapes, replace(RSI, symbols=(ETH,))),
        bench_of(tapes, replace(RSI, fee_bps=Decimal(1))),
        bench_of(replace(tapes, rates={BTC: rates})),
    ]
    assert bench_of(tapes).digest == bench_of(two_markets(7 * 288)).digest
    assert len({item.digest for item in [bench_of(tapes), *others]}) == 5


def test_the_setup_of_a_study_names_everything_its_answers_follow_from(bench: Bench) -> None:
    space = space_of(chosen_strategy(RSI).parameters, {"window": (5, 30)})
    setup = study_setup(bench, space, 7, "tpe", train="30d")
    assert setup["space"] == "window 5:30 from 14"
    assert (setup["objective"], setup["train"], setup["parameters"], setup["risk"]) == (
        "sharpe",
        "30d",
        "none",
        "default",
    )
    dear = replace(bench, wishes=replace(RSI, fee_bps=Decimal(9), parameters={"stop_atr": 2.0}, profile="spot"))
    changed = {name for name, value in study_setup(dear, space, 8, "random").items() if setup.get(name) != value}
    assert list(setup)[-1] == "candles"
    assert changed == {"version", "parameters", "risk", "costs", "seed", "method"}


def search_of(tmp_path: Path, bench: Bench, trials: int, lag: int = 1, submit: Any = None) -> tuple[Course, list[int]]:
    space = space_of(chosen_strategy(RSI).parameters, {"window": (5, 30), "stop_atr": (0.8, 4.0)})
    heard: list[int] = []
    with studies(tmp_path, "random").open("a-study", {}) as book:
        course = Course("trials", book.study("search", space, 7), trials, None, None)
        drive([course], submit or here(bench), lag, lambda name, tried: heard.append(tried.number))
    return course, heard


def test_a_search_makes_its_trials_and_going_on_makes_only_the_rest(bench: Bench, tmp_path: Path) -> None:
    course, heard = search_of(tmp_path, bench, 4)
    again, more = search_of(tmp_path, bench, 6)
    assert (heard, more) == ([0, 1, 2, 3], [4, 5])
    assert course.is_over
    assert list(again.study.tried()[:4]) == list(course.study.tried())
    assert all(item.outcome.daily == () for item in again.study.tried())
    less, none = search_of(tmp_path, bench, 3)
    assert (none, less.best) == ([], max(again.study.tried()[:3], key=lambda item: item.outcome.value or 0))


def test_trials_are_told_in_order_whichever_is_ready_first(bench: Bench, tmp_path: Path) -> None:
    made: list[tuple[Future[Outcome], Values]] = []

    def in_threes_last_first(values: Values, since: datetime | None, until: datetime | None) -> Future[Outcome]:
        made.append((Future(), values))
        if len(made) % 3 == 0:
            for future, wanted in reversed(made[-3:]):
                future.set_result(attempt(bench, wanted, since, until))
        return made[-1][0]

    course, heard = search_of(tmp_path / "late", bench, 6, lag=3, submit=in_threes_last_first)
    plain, _ = search_of(tmp_path / "plain", bench, 6)
    assert heard == list(range(6))
    assert course.study.tried() == plain.study.tried()


def test_trials_that_were_asked_for_and_never_told_are_made_first(bench: Bench, tmp_path: Path) -> None:
    class Killed(Exception):
        """The process ends here."""

    made: list[Values] = []

    def dies(values: Values, since: datetime | None, until: datetime | None) -> Future[Outcome]:
        made.append(values)
        if len(made) == 3:
            raise Killed
        return here(bench)(values, since, until)

    with pytest.raises(Killed):
        search_of(tmp_path / "killed", bench, 5, submit=dies)
    course, heard = search_of(tmp_path / "killed", bench, 5)
    whole, _ = search_of(tmp_path / "whole", bench, 5)
    assert heard == [2, 3, 4]
    assert course.study.tried() == whole.study.tried()


def test_a_trial_beyond_those_wanted_waits_for_another_day(bench: Bench, tmp_path: Path) -> None:
    with studies(tmp_path, "random").open("a-study", {}) as book:
        study = book.study("search", space_of(chosen_strategy(RSI).parameters, {"window": (5, 30)}), 7)
        for _ in range(2):
            study.ask()
        course = Course("trials", study, 1, None, None)
        drive([course], here(bench), 1, told_of)
        assert [item.number for item in study.tried()] == [0]
        assert [number for number, _ in study.waiting()] == [1]


@pytest.mark.parametrize(
    ("jobs", "courses", "lag"), [(1, 1, 1), (1, 30, 1), (4, 1, 8), (4, 3, 3), (4, 8, 1), (4, 50, 1)]
)
def test_every_process_has_a_trial_waiting(jobs: int, courses: int, lag: int) -> None:
    assert lag_of(jobs, courses) == lag


def test_the_document_of_a_search_ranks_what_has_a_value(bench: Bench, tmp_path: Path) -> None:
    course, _ = search_of(tmp_path, bench, 5)
    space = space_of(chosen_strategy(RSI).parameters, {"window": (5, 30), "stop_atr": (0.8, 4.0)})
    found = search_document(course, space, top=2)
    ranked = sorted((value for value in found["values"] if value is not None), reverse=True)
    assert (found["trials"], found["valued"], found["refused"], len(found["top"])) == (5, 4, 0, 2)
    # A patient RSI never left its zone: no trade, no ratio.
    assert found["values"].count(None) == 1
    assert [float(row["value"]) for row in found["top"]] == ranked[:2]
    assert found["best"] == found["top"][0]
    assert found["defaults"]["parameters"] == {"window": 14, "stop_atr": 1.5}
    assert found["defaults"]["number"] == 0


def test_a_search_without_a_value_has_no_best(tapes: Tapes, tmp_path: Path) -> None:
    course, _ = search_of(tmp_path, bench_of(tapes, least=10_000), 2)
    found = search_document(course, (), top=2)
    assert (found["best"], found["top"], found["defaults"], found["values"]) == (None, [], None, [None, None])
    assert course.best is None


def walk(tmp_path: Path, bench: Bench, jobs: int = 1, trials: int = 3, gates: Gates | None = None):
    space = space_of(chosen_strategy(RSI).parameters, {"window": (5, 30), "stop_atr": (0.8, 4.0)})
    found = windows(*bench.span, DAY * 2, DAY)
    with studies(tmp_path, "tpe").open("a-walk", {}) as book:
        courses = courses_of(found, book, space, trials, 7)
        return walk_forward(found, courses, here(bench), jobs, gates or Gates(), told_of)


def test_each_window_judges_its_best_on_the_stretch_that_follows(bench: Bench, tmp_path: Path) -> None:
    found = walk(tmp_path, bench)
    assert len(found.windows) == 5
    assert not found.passed
    for item in found.windows:
        assert item.best is not None
        assert item.trained == attempt(bench, item.best.values, item.window.train_from, item.window.train_to).measured
        assert item.validated == attempt(bench, item.best.values, item.window.train_to, item.window.validate_to)
    assert found.whole.days == 5
    assert found.whole.trades == sum(item.measured.trades for item in found.windows if item.measured)


def test_how_many_processes_there_are_changes_nothing_where_windows_are_many(bench: Bench, tmp_path: Path) -> None:
    assert walk(tmp_path / "one", bench, jobs=1) == walk(tmp_path / "two", bench, jobs=2)


def test_gates_that_ask_for_little_are_open(bench: Bench, tmp_path: Path) -> None:
    mild = Gates(1, Decimal(10_000), Decimal(-10_000), Decimal(0))
    found = walk(tmp_path, bench, gates=mild)
    answer = walk_forward_document(found)
    shut = [gate["rule"] for gate in answer["gates"] if not gate["passed"]]
    assert set(shut) <= {"degraded_too_far"}
    assert answer["windows_passed"] == sum(item.passed for item in found.windows)
    assert [row["number"] for row in answer["windows"]] == [1, 2, 3, 4, 5]
    assert answer["windows"][0]["train_to"] == day(2).isoformat()
    assert set(answer["windows"][0]["parameters"]) == {"window", "stop_atr"}
    assert {"rule", "measured", "limit", "unit", "passed"} == set(answer["gates"][0])


def test_a_window_that_found_nothing_trades_nothing_and_does_not_pass(tapes: Tapes, tmp_path: Path) -> None:
    found = walk(tmp_path, bench_of(tapes, least=10_000), trials=1)
    row = walk_forward_document(found)["windows"][0]
    assert (row["parameters"], row["train"], row["validate"], row["value"], row["refused"]) == (None,) * 5
    assert not row["passed"]
    assert (found.whole.trades, found.whole.days) == (0, 0)
