"""Backtest: the fleet's own features, strategies, judges, sizing and exits, run over recorded candles."""

from common.domain.backtest.checks import Finding, lookahead_findings, recursive_findings
from common.domain.backtest.counsel import Counsel
from common.domain.backtest.engine import Decided, Result, Setup, Trial, Witness, run
from common.domain.backtest.market import FRICTIONLESS, Assumptions, BacktestMarket, FundingRates
from common.domain.backtest.result import Curve, curve, excursions, figures

__all__ = [
    "FRICTIONLESS",
    "Assumptions",
    "BacktestMarket",
    "Counsel",
    "Curve",
    "Decided",
    "Finding",
    "FundingRates",
    "Result",
    "Setup",
    "Trial",
    "Witness",
    "curve",
    "excursions",
    "figures",
    "lookahead_findings",
    "recursive_findings",
    "run",
]
