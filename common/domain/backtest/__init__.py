"""Backtest: the fleet's own features, strategies, judges, sizing and exits, run over recorded candles."""

from common.domain.backtest.checks import Finding, lookahead_findings, recursive_findings
from common.domain.backtest.engine import Decided, Result, Setup, run
from common.domain.backtest.market import FRICTIONLESS, Assumptions, BacktestMarket, FundingRates

__all__ = [
    "FRICTIONLESS",
    "Assumptions",
    "BacktestMarket",
    "Decided",
    "Finding",
    "FundingRates",
    "Result",
    "Setup",
    "lookahead_findings",
    "recursive_findings",
    "run",
]
