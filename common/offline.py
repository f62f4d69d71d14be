"""Fits the doors of work that needs no fleet: candles, results and strategies on disk, without settings or database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.adapters.process_figures import age_s, peak_mb
from common.domain.errors import InvalidInput

if TYPE_CHECKING:
    # Named in signatures only: a backtest has no use for studies, and starts without them.
    from common.domain.backtest.monte_carlo import Dice
    from common.domain.features import Columns
    from common.ports.recorded import RecordedCandles
    from common.ports.search import Studies, StudyBook

SEARCHERS = ("tpe", "random")

__all__ = [
    "SEARCHERS",
    "RecordedCandles",
    "StudyBook",
    "age_s",
    "dice_of",
    "file_writer",
    "find_strategies",
    "made_market",
    "peak_mb",
    "recorded_candles",
    "row_writer",
    "studies",
]


def recorded_candles(place: Path) -> RecordedCandles:
    """The candle files at or below `place`; raises InvalidInput where there is nothing."""
    from common.adapters.recorded import RecordedFolder

    return RecordedFolder(place)


def row_writer() -> Callable[[Path, str, Sequence[Mapping[str, Any]]], list[Path]]:
    """What writes rows as Parquet and CSV: (folder, name, rows) to the files written."""
    from common.adapters.recorded.writing import write_rows

    return write_rows


def file_writer() -> Callable[[Path, str, str, Sequence[Mapping[str, Any]]], Path]:
    """What writes rows as one file: (folder, name, csv or parquet, rows) to the file written."""
    from common.adapters.recorded.writing import write_file

    return write_file


def find_strategies(folders: Sequence[Path], wanted: str | None = None) -> None:
    """Make the strategies in `folders` known, and those of installed packages unless `wanted` is known without them.

    Raises InvalidInput naming a file that cannot be run or a name that is taken.
    """
    from common.adapters.strategy_folder import load_folder, load_packages
    from common.domain.strategies import names

    for folder in folders:
        load_folder(folder)
    # Looking through what is installed takes a while; a strategy that is known already needs none of it.
    if wanted is None or wanted not in names():
        load_packages()


def dice_of(*seeds: int) -> Dice:
    """Dice that always fall the same for the same `seeds`."""
    from common.adapters.studies import dice_of as throw

    return throw(*seeds)


def studies(folder: Path, searcher: str) -> Studies:
    """Studies kept below `folder`; `searcher` is one of SEARCHERS: who proposes what to try."""
    from common.adapters.studies import DiceSearcher, StudyFolder

    if searcher == "random":
        return StudyFolder(folder, DiceSearcher)
    if searcher != "tpe":
        raise InvalidInput("searcher", searcher, f"one of {', '.join(SEARCHERS)}")
    from common.adapters.studies.optuna_search import OptunaSearcher

    return StudyFolder(folder, OptunaSearcher)


def made_market(seed: int) -> tuple[str, Columns]:
    """(name, candles) of a market made by dice from `seed`, always the same."""
    from common.adapters.made_market import made_market as make

    return make(seed)
