"""Studies in a folder: notes of every trial as lines of JSON, and two searchers, Optuna's and plain dice."""

from common.adapters.studies.dice import DiceSearcher, dice_of
from common.adapters.studies.folder import StudyFolder

__all__ = ["DiceSearcher", "StudyFolder", "dice_of"]
