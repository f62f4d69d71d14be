"""Runs the parity check: `python -m simulation.parity --data DIR --instruments A,B --candles N [--json]`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from common.domain.backtest import Assumptions, BacktestMarket, Counsel, Setup, run
from common.domain.errors import InvalidInput, TradewindsError
from common.domain.recording import chosen
from common.domain.risk.limits import resolve
from common.domain.strategies import get
from common.offline import find_strategies, recorded_candles
from simulation.database import Database, prepare, server
from simulation.parity.compare import Comparison, compare
from simulation.parity.live import Driver
from simulation.parity.model import practice_model

SPARE = 120
SHOWN = 20


def main(argv: list[str]) -> int:
    """Both worlds over the same candles; 0 when nothing differs, 1 when something does, 2 when it cannot be run."""
    options = _parser().parse_args(argv)
    logging.getLogger().setLevel(logging.ERROR)
    try:
        setup, first = _setup(options)
        found, counts = _both(setup, first, options)
    except TradewindsError as error:
        print(f"parity: {error}", file=sys.stderr)
        return 2
    answer = {
        "strategies": options.strategy.split(","),
        "profile": setup.profile,
        "model": options.model,
        "candles": options.candles * len(setup.markets),
        "compared": found.compared,
        "differences": len(found.differences),
        "first": found.differences[:SHOWN],
        **counts,
    }
    if options.json:
        print(json.dumps(answer, default=str, separators=(",", ":")))
    else:
        print(json.dumps(answer, default=str, indent=2))
    return 1 if found.differences else 0


def _both(setup: Setup, first: int, options: argparse.Namespace) -> tuple[Comparison, dict[str, Any]]:
    last = first + options.candles
    with server() as url, practice_model() if options.model == "on" else nullcontext() as advisor:
        prepare(url, ["parity"])
        database = Database(url, "parity")
        try:
            driver = Driver(database.store, setup, first, advisor)
            driver.lead_through(last, lambda bar: _tell(bar - first + 1, options))
            lived, counsel = driver.lived(), driver.counsel()
        finally:
            database.close()
    # The model is asked once, by the fleet; the backtest hears the answers that the fleet has recorded.
    result = run(replace(setup, counsel=counsel))
    last_ms = int(setup.markets[0].columns.opened_at[last])
    told = {"backtest_outcomes": result.outcomes, "advice": _advice(counsel)}
    return compare(lived, result, last_ms), told


def _advice(counsel: Counsel | None) -> dict[str, int]:
    answers = () if counsel is None else counsel.answers.values()
    return dict(sorted(Counter(advice.verdict.value for advice in answers).items()))


def _tell(done: int, options: argparse.Namespace) -> None:
    if done % 50 == 0 and not options.json:
        print(f"parity: {done} of {options.candles} candles", file=sys.stderr, flush=True)


def _setup(options: argparse.Namespace) -> tuple[Setup, int]:
    """The backtest of both, and the first bar whose signals count."""
    find_strategies(options.strategies)
    changes = dict(pair(item) for item in options.param)
    rules = tuple(get(name, changes) for name in options.strategy.split(","))
    source = recorded_candles(options.data)
    symbols = [item for item in options.instruments.split(",") if item]
    first = max(strategy.history for strategy in rules) + SPARE
    markets = []
    for recording in chosen(source.recordings(), symbols, None):
        columns = source.columns(recording)
        start = options.skip
        columns = columns.slice(start, start + first + options.candles + 2)
        markets.append(BacktestMarket(replace(source.instrument(recording), venue="parity"), columns))
    if not markets or len({tuple(market.columns.opened_at.tolist()) for market in markets}) != 1:
        raise InvalidInput("instruments", options.instruments, "instruments whose candles opened at the same moments")
    if len(markets[0]) < first + options.candles + 2:
        raise InvalidInput("candles", options.candles, f"at most {len(markets[0]) - first - 2} of these files")
    # Of what closes at one moment the fleet hears market by market, and in each strategy by strategy, by their names.
    setup = Setup(
        markets=tuple(sorted(markets, key=lambda market: market.instrument.symbol)),
        strategies=tuple(sorted(rules, key=lambda rule: rule.name)),
        limits=resolve(options.risk, {}),
        equity=Decimal(options.equity),
        assumptions=Assumptions(depth_share=None, participation=None),
        expires_in=markets[0].columns.timeframe.duration,
        start=markets[0].opened_at(first),
        profile=options.risk,
    )
    return setup, first


def pair(text: str) -> tuple[str, float]:
    """Name and value of `NAME=VALUE`, whole where it is written so; raises InvalidInput."""
    name, _, value = text.partition("=")
    try:
        return name, int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        raise InvalidInput("param", text, "NAME=VALUE with a number") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tradewinds parity",
        description="The same candles through the real services and through the backtest, compared one for one.",
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of candle files")
    parser.add_argument("--instruments", required=True, help="such as BTC/USDT,ETH/USDT")
    parser.add_argument("--candles", type=int, default=1000, help="candles of each instrument that are compared")
    parser.add_argument("--skip", type=int, default=0, help="candles left out at the beginning of the files")
    parser.add_argument("--strategy", default="ema_crossover", help="one or more, with commas")
    parser.add_argument(
        "--strategies", type=Path, action="append", default=[], help="folder with strategies of your own"
    )
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the strategies; repeatable"
    )
    parser.add_argument("--risk", default="standard", help="risk profile")
    parser.add_argument("--model", choices=("off", "on"), default="off", help="on: a model confirms every entry")
    parser.add_argument("--equity", type=int, default=10_000, help="what the account begins with")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
