"""The commands that look for parameters and doubt what they find: search, walk-forward, Monte Carlo."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from cli.brain import (
    Data,
    Equity,
    Fee,
    Folders,
    Frame,
    Latency,
    Limits,
    Params,
    Risk,
    Since,
    Slippage,
    Spread,
    StrategyName,
    Symbols,
    Until,
    VenueName,
)
from cli.options import AsJson, World, seconds

Trials = Annotated[int, typer.Option("--trials", min=1, help="Trials wanted in all; those made before count.")]
ObjectiveName = Annotated[
    str,
    typer.Option(
        "--objective",
        help="What is made large: sharpe, sortino, calmar, total_return, profit_factor, expectancy or win_rate.",
    ),
]
Ranges = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        metavar="NAME=LOW:HIGH",
        help="Search this parameter within these; repeatable. Without any, all are searched within their own bounds.",
    ),
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study; the same command finds its own again without it.")
]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, max=256, help="Processes; one for each core without it.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed (and number of jobs) tries the same.")]
SearcherName = Annotated[str, typer.Option("--searcher", help="tpe (Optuna) or random.")]
MinTrades = Annotated[int, typer.Option("--min-trades", min=1, help="A trial with fewer trades has no value.")]
Train = Annotated[str, typer.Option("--train", metavar="DURATION", help="How long each window learns.")]
Validate = Annotated[str, typer.Option("--validate", metavar="DURATION", help="How long it is judged after that.")]
Step = Annotated[
    str | None, typer.Option("--step", metavar="DURATION", help="From window to window; --validate without it.")
]
GateTrades = Annotated[int, typer.Option("--gate-trades", min=1, help="Gate: trades out of sample, at least.")]
GateLoss = Annotated[
    float, typer.Option("--gate-degradation", help="Gate: part of the Sharpe in training that is lost, at most.")
]
GateSharpe = Annotated[float, typer.Option("--gate-sharpe", help="Gate: Sharpe out of sample, at least.")]
GateWins = Annotated[
    float, typer.Option("--gate-win-rate", min=0, max=1, help="Gate: win rate out of sample, at least.")
]
Report = Annotated[Path | None, typer.Option("--report", help="Write a report with charts to this HTML file.")]


def search(
    strategy: StrategyName,
    trials: Trials = 100,
    objective: ObjectiveName = "sharpe",
    space: Ranges = None,
    study: StudyName = None,
    jobs: Jobs = None,
    seed: Seed = 7,
    searcher: SearcherName = "tpe",
    min_trades: MinTrades = 20,
    param: Params = None,
    instruments: Symbols = "",
    timeframe: Frame = None,
    since: Since = None,
    until: Until = None,
    risk: Risk = None,
    limit: Limits = None,
    data: Data = None,
    equity: Equity = 10_000,
    fee_bps: Fee = None,
    slippage_bps: Slippage = None,
    spread_bps: Spread = None,
    latency: Latency = None,
    strategies: Folders = None,
    venue: VenueName = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Look for better parameters within their bounds. Stopped and started again, it goes on where it was.

    Example: tradewinds backtest search --strategy ema_crossover --data ../candles --space fast=5:40 --space slow=20:200
    """
    from cli.backtest import Wanted
    from cli.searching import Sought, run_search
    from cli.wishes import wishes_of

    wishes = wishes_of(
        strategy, param, instruments, timeframe, since, until, risk, limit, equity, fee_bps, slippage_bps, spread_bps,
        latency, strategies,
    )  # fmt: skip
    wanted = Wanted(wishes, data, venue, world, as_json)
    run_search(
        Sought(wanted, trials, objective, space or [], study, jobs, seed, searcher, min_trades, strategies or [])
    )


def walk_forward(
    strategy: StrategyName,
    train: Train = "30d",
    validate: Validate = "7d",
    step: Step = None,
    trials: Trials = 40,
    objective: ObjectiveName = "sharpe",
    space: Ranges = None,
    study: StudyName = None,
    jobs: Jobs = None,
    seed: Seed = 7,
    searcher: SearcherName = "tpe",
    min_trades: MinTrades = 20,
    gate_trades: GateTrades = 50,
    gate_degradation: GateLoss = 0.30,
    gate_sharpe: GateSharpe = 0.5,
    gate_win_rate: GateWins = 0.45,
    param: Params = None,
    instruments: Symbols = "",
    timeframe: Frame = None,
    since: Since = None,
    until: Until = None,
    risk: Risk = None,
    limit: Limits = None,
    data: Data = None,
    equity: Equity = 10_000,
    fee_bps: Fee = None,
    slippage_bps: Slippage = None,
    spread_bps: Spread = None,
    latency: Latency = None,
    strategies: Folders = None,
    venue: VenueName = None,
    report: Report = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Search on one stretch, judge on the next, window after window; the exit status is 0 when every gate is open.

    Example: tradewinds backtest walk-forward --strategy ema_crossover --data ../candles --train 30d --validate 7d
    """
    from cli.backtest import Wanted
    from cli.searching import Sought, run_walk_forward
    from cli.wishes import wishes_of
    from common.domain.backtest.walk_forward import Gates

    wishes = wishes_of(
        strategy, param, instruments, timeframe, since, until, risk, limit, equity, fee_bps, slippage_bps, spread_bps,
        latency, strategies,
    )  # fmt: skip
    wanted = Wanted(wishes, data, venue, world, as_json)
    sought = Sought(wanted, trials, objective, space or [], study, jobs, seed, searcher, min_trades, strategies or [])
    limits = [Decimal(repr(value)) for value in (gate_degradation, gate_sharpe, gate_win_rate)]
    lengths = _length(train), _length(validate), _length(step) if step else None
    raise typer.Exit(run_walk_forward(sought, *lengths, Gates(gate_trades, *limits), report))


def _length(text: str) -> timedelta:
    return timedelta(seconds=seconds(text))


def monte_carlo(
    strategy: StrategyName,
    paths: Annotated[int, typer.Option(min=1, max=10_000_000, help="Paths of each kind.")] = 10_000,
    block: Annotated[int, typer.Option(min=1, help="Trades that are drawn together, one after another.")] = 5,
    ruin: Annotated[float, typer.Option(min=0, max=1, help="Part of the equity whose loss is ruin.")] = 0.5,
    fixed_stakes: Annotated[
        bool, typer.Option("--fixed-stakes", help="Each trade earns the same money whatever came before.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same paths.")] = 7,
    param: Params = None,
    instruments: Symbols = "",
    timeframe: Frame = None,
    since: Since = None,
    until: Until = None,
    risk: Risk = None,
    limit: Limits = None,
    data: Data = None,
    equity: Equity = 10_000,
    fee_bps: Fee = None,
    slippage_bps: Slippage = None,
    spread_bps: Spread = None,
    latency: Latency = None,
    strategies: Folders = None,
    venue: VenueName = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Run a backtest, then deal its trades anew: how deep could it have fallen, and would chance have done as well?

    Example: tradewinds backtest monte-carlo --strategy rsi_mean_reversion --data ../candles --paths 20000
    """
    from cli.backtest import Wanted
    from cli.monte_carlo import Drawn, run_monte_carlo
    from cli.wishes import wishes_of

    wishes = wishes_of(
        strategy, param, instruments, timeframe, since, until, risk, limit, equity, fee_bps, slippage_bps, spread_bps,
        latency, strategies,
    )  # fmt: skip
    run_monte_carlo(Wanted(wishes, data, venue, world, as_json), Drawn(paths, block, ruin, seed, fixed_stakes))
