"""Strategies: what makes a signal, each a short file behind one small interface."""

from common.domain.features import Columns
from common.domain.strategies.base import (
    Entries,
    Parameters,
    Rules,
    Strategy,
    bounded,
    leaves_at,
    signal_at,
)
from common.domain.strategies.confluence import Confluence
from common.domain.strategies.ema_crossover import EmaCrossover
from common.domain.strategies.ema_rsi_reference import EmaRsiReference
from common.domain.strategies.registry import get, names, register
from common.domain.strategies.rsi_mean_reversion import RsiMeanReversion

for _strategy in (RsiMeanReversion, EmaCrossover, Confluence, EmaRsiReference):
    register(_strategy)

__all__ = [
    "Columns",
    "Confluence",
    "EmaCrossover",
    "EmaRsiReference",
    "Entries",
    "Parameters",
    "RsiMeanReversion",
    "Rules",
    "Strategy",
    "bounded",
    "get",
    "leaves_at",
    "names",
    "register",
    "signal_at",
]
