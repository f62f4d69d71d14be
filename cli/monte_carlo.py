"""`tradewinds backtest monte-carlo`: how much of a backtest was the order of its trades, and how much was luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console, Group

from cli.backtest import Wanted, traded
from cli.output import answer, table
from common.domain.backtest.monte_carlo import (
    PERCENTILES,
    Paths,
    blocks,
    resample,
    shuffled,
    significance,
    trade_returns,
)
from common.offline import dice_of


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was typed about the paths."""

    paths: int = 10_000
    block: int = 5
    ruin: float = 0.5
    seed: int = 7
    is_fixed: bool = False


def run_monte_carlo(wanted: Wanted, drawn: Drawn) -> None:
    """Make the backtest, then its paths."""
    result, _ = traded(wanted)
    equity = float(result.setup.equity)
    returns = trade_returns(result.positions, equity)
    if drawn.is_fixed:
        returns = np.array([float(position.net_profit) for position in result.positions]) / equity
    # Each method has dice of its own, so that the one does not change with the paths of the other.
    first, second, third = (dice_of(drawn.seed, number) for number in range(3))
    common: dict[str, Any] = {"paths": drawn.paths, "ruin_at": drawn.ruin, "is_fixed": drawn.is_fixed}
    ways = [
        resample(returns, equity, first, method="shuffle", draw=shuffled, **common),
        resample(returns, equity, second, method="block_bootstrap", draw=blocks(drawn.block), **common),
    ]
    luck = significance(returns, third, drawn.paths)
    found = {
        "strategy": wanted.wishes.strategy,
        "trades": len(result.positions),
        "equity": equity,
        "final_equity": float(result.final_equity),
        "paths": drawn.paths,
        "block": drawn.block,
        "ruin_at": drawn.ruin,
        "seed": drawn.seed,
        "stakes": "fixed" if drawn.is_fixed else "compounding",
        "methods": {way.method: _plain(way) for way in ways},
        "significance": asdict(luck),
    }
    answer(found, wanted.as_json, lambda console: show_paths(console, found, ways))


def _plain(way: Paths) -> dict[str, Any]:
    return {
        "final_equity": _spread(way.final_equity),
        "max_drawdown": _spread(way.max_drawdown),
        "probability_of_loss": way.loss,
        "probability_of_ruin": way.ruin,
    }


def _spread(spread: Any) -> dict[str, float]:
    return {"mean": spread.mean, **{f"p{number}": value for number, value in spread.percentiles.items()}}


def show_paths(console: Console, found: Mapping[str, Any], ways: list[Paths]) -> None:
    """The spread of what might have been for people."""
    rows = []
    for way in ways:
        for label, spread, form in (
            ("final equity", way.final_equity, "{:,.2f}"),
            ("deepest drawdown", way.max_drawdown, "{:.2%}"),
        ):
            shares = {f"p{number}": form.format(spread.percentiles[number]) for number in PERCENTILES}
            rows.append({"method": way.method, "figure": label, "mean": form.format(spread.mean), **shares})
    odds = [{"method": way.method, "loss": f"{way.loss:.2%}", "ruin": f"{way.ruin:.2%}"} for way in ways]
    luck = found["significance"]
    columns = ["method", "figure", "mean", *(f"p{number}={number} %" for number in PERCENTILES)]
    console.print(
        Group(
            f"[bold]{found['strategy']}[/bold]: {found['trades']} trades, {found['equity']:,.2f} became "
            f"{found['final_equity']:,.2f}; {found['paths']:,} paths of each kind, {found['stakes']} stakes",
            "",
            table(rows, columns),
            "",
            table(odds, ["method", "loss=ends with a loss", f"ruin=loses {found['ruin_at']:.0%} on the way"]),
            "",
            f"a mean of {luck['mean']:+.4%} a trade: chance does as well in {luck['p_value']:.2%} of {luck['permutations']:,} "
            "permutations of the signs",
        )
    )
