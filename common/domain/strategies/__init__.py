"""Strategies: what makes a signal, each a short file behind one small interface."""

from common.domain.features import Columns
from common.domain.strategies.base import (
    Entries,
    Features,
    Parameters,
    Rules,
    Strategy,
    bounded,
    leaves_at,
    signal_at,
)
from common.domain.strategies.composite import AdvancedComposite, Composite
from common.domain.strategies.confluence import Confluence
from common.domain.strategies.ema_crossover import EmaCrossover
from common.domain.strategies.ema_rsi_reference import EmaRsiReference
from common.domain.strategies.last_bar import LastBar, LastBars, at_last_bar, block_of, can_be_kept
from common.domain.strategies.opportunity import Opportunity, opportunity_score
from common.domain.strategies.registry import get, names, register
from common.domain.strategies.rsi_mean_reversion import RsiMeanReversion
from common.domain.strategies.scalper import Scalper
from common.domain.strategies.smart_money import SmartMoney
from common.domain.strategies.trial import try_out

for _strategy in (
    RsiMeanReversion,
    EmaCrossover,
    Confluence,
    EmaRsiReference,
    Composite,
    AdvancedComposite,
    Scalper,
    SmartMoney,
    Opportunity,
):
    register(_strategy)

__all__ = [
    "AdvancedComposite",
    "Columns",
    "Composite",
    "Confluence",
    "EmaCrossover",
    "EmaRsiReference",
    "Entries",
    "Features",
    "LastBar",
    "LastBars",
    "Opportunity",
    "Parameters",
    "RsiMeanReversion",
    "Rules",
    "Scalper",
    "SmartMoney",
    "Strategy",
    "at_last_bar",
    "block_of",
    "bounded",
    "can_be_kept",
    "get",
    "leaves_at",
    "names",
    "opportunity_score",
    "register",
    "signal_at",
    "try_out",
]
