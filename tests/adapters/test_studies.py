"""Studies: whoever proposes, a search that was interrupted goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from common.adapters.studies import DiceSearcher, StudyFolder
from common.adapters.studies.folder import StudyInUse
from common.adapters.studies.optuna_search import OptunaSearcher
from common.domain.errors import InvalidInput
from common.domain.search import Dimension, Outcome, Tried, Values
from common.offline import studies
from common.ports.search import Studies, Study

SPACE = (
    Dimension("window", 2, 400, 14, is_log=True),
    Dimension("share", 0.0, 1.0, 0.5),
    Dimension("is_patient", low=False, high=True, default=False),
)
SETUP = {"strategy": "bowl", "seed": "7"}

MakeStudies = Callable[[str], Studies]


@pytest.fixture(params=["tpe", "random"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStudies:
    """Studies by each searcher, in folders of their own."""
    return lambda name: studies(tmp_path / name, request.param)


def judge(values: Values) -> Outcome:
    """A bowl whose best is at 30, 0.8 and patience; nothing at all beyond 300."""
    distance = abs(values["window"] - 30) / 100 + abs(values["share"] - 0.8) + (not values["is_patient"])
    return Outcome(None if values["window"] > 300 else -Decimal(repr(float(distance))))


def go_on(study: Study, trials: int, lag: int = 1, stop: int | None = None) -> Sequence[Tried]:
    """A search of `trials` trials, `lag` of them under way at once, until `stop` of them are told."""
    open_trials = list(study.waiting())
    while True:
        while len(study.tried()) + len(open_trials) < trials and len(open_trials) < lag:
            open_trials.append(study.ask())
        if len(study.tried()) == (trials if stop is None else stop):
            return study.tried()
        number, values = open_trials.pop(0)
        study.tell(number, judge(values))


def test_every_trial_is_in_the_space_and_the_first_is_the_strategys_own(kept: MakeStudies) -> None:
    with kept("one").open("bowl", SETUP) as book:
        tried = go_on(book.study("search", SPACE, 7), 25)
    assert tried[0].values == {"window": 14, "share": 0.5, "is_patient": False}
    assert [item.number for item in tried] == list(range(25))
    assert all(dimension.holds(item.values[dimension.name]) for item in tried for dimension in SPACE)
    assert {type(item.values["window"]) for item in tried} == {int}
    assert len({str(item.values) for item in tried}) > 20


def test_own_values_outside_the_space_are_not_tried(kept: MakeStudies) -> None:
    narrow = (Dimension("window", 20, 40, 14),)
    with kept("one").open("bowl", SETUP) as book:
        number, values = book.study("search", narrow, 7).ask()
    assert number == 0
    assert 20 <= values["window"] <= 40


@pytest.mark.parametrize("lag", [1, 3])
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(kept: MakeStudies, lag: int) -> None:
    with kept("whole").open("bowl", SETUP) as book:
        whole = go_on(book.study("search", SPACE, 7), 24, lag)
    for stop in (1, 14, 15, 24):
        # Every opening is a new process's: it knows what the notes hold, and nothing else.
        with kept("parts").open("bowl", SETUP) as book:
            go_on(book.study("search", SPACE, 7), 24, lag, stop)
    with kept("parts").open("bowl", SETUP) as book:
        assert book.study("search", SPACE, 7).tried() == whole


def test_a_seed_says_what_is_tried(kept: MakeStudies) -> None:
    with kept("one").open("bowl", SETUP) as book:
        same = [go_on(book.study(part, SPACE, 7), 14) for part in ("first", "second")]
        other = go_on(book.study("third", SPACE, 8), 14)
    assert same[0] == same[1]
    assert same[0][1:] != other[1:]


def test_half_a_line_of_a_killed_process_is_cut_off(kept: MakeStudies, tmp_path: Path) -> None:
    with kept("one").open("bowl", SETUP) as book:
        tried = go_on(book.study("search", SPACE, 7), 6)
    path = tmp_path / "one" / "bowl" / "search.jsonl"
    path.write_bytes(path.read_bytes() + b'{"number":6,"val')
    with kept("one").open("bowl", SETUP) as book:
        study = book.study("search", SPACE, 7)
        assert study.tried() == tried
        assert go_on(study, 8)[:6] == tried
    with kept("one").open("bowl", SETUP) as book:
        assert len(book.study("search", SPACE, 7).tried()) == 8


def test_another_setup_under_the_same_name_is_refused_by_name(kept: MakeStudies) -> None:
    with kept("one").open("bowl", SETUP):
        pass
    with pytest.raises(InvalidInput, match="seed of the study 'bowl': '8' is not accepted; expected 7 as before"):
        kept("one").open("bowl", SETUP | {"seed": "8"}).__enter__()
    with pytest.raises(
        InvalidInput, match="step of the study 'bowl': '7d' is not accepted; expected nothing as before"
    ):
        kept("one").open("bowl", SETUP | {"step": "7d"}).__enter__()
    with kept("one").open("bowl", SETUP), kept("one").open("bowl-2", SETUP | {"seed": "8"}):
        pass


def test_a_study_has_one_process_at_a_time(kept: MakeStudies) -> None:
    with kept("one").open("bowl", SETUP), pytest.raises(StudyInUse, match="another process works on the study 'bowl'"):
        kept("one").open("bowl", SETUP).__enter__()
    with kept("one").open("bowl", SETUP):
        pass


@pytest.mark.parametrize("name", ["", "../bowl", "Bowl", "a b", ".hidden"])
def test_a_name_that_is_no_folders_is_refused(kept: MakeStudies, name: str) -> None:
    with pytest.raises(InvalidInput, match="study"):
        kept("one").open(name, SETUP).__enter__()
    with kept("one").open("bowl", SETUP) as book, pytest.raises(InvalidInput, match="part"):
        book.study(name, SPACE, 7)


def test_what_learns_finds_more_than_dice(tmp_path: Path) -> None:
    def best(folder: StudyFolder, seed: int) -> Decimal:
        with folder.open(f"bowl-{seed}", SETUP) as book:
            tried = go_on(book.study("search", SPACE, seed), 40)
        return max(item.outcome.value for item in tried if item.outcome.value is not None)

    learnt = sum(best(StudyFolder(tmp_path / "tpe", OptunaSearcher), seed) for seed in range(2))
    thrown = sum(best(StudyFolder(tmp_path / "random", DiceSearcher), seed) for seed in range(2))
    assert learnt > thrown


def test_a_searcher_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="one of tpe, random"):
        studies(tmp_path, "guess")
