"""The commands of the brain: recorded data, backtests, strategies and their checks."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, World

data_app = typer.Typer(
    no_args_is_help=True, help="Candles, market snapshots and candidates: download, import, list, verify."
)

Place = Annotated[Path, typer.Argument(help="A file, or a folder with files such as BTC_USDT-5m.parquet.")]
MaybePlace = Annotated[
    Path | None, typer.Argument(help="Look at these files instead of the stored candles.", show_default=False)
]
Symbols = Annotated[str, typer.Option("--instruments", help="Only these, such as BTC/USDT,ETH/USDT.")]
Frame = Annotated[str | None, typer.Option("--timeframe", help="Only candles of this length, such as 5m.")]


def symbols_of(text: str) -> list[str]:
    """The instruments of a list with commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


@data_app.command("import")
def data_import(
    path: Place, instruments: Symbols = "", timeframe: Frame = None, as_json: AsJson = False, world: World = None
) -> None:
    """Keep recorded candles (Parquet or CSV) in the shared history; repeating it changes nothing.

    Example: tradewinds data import ../candles --instruments BTC/USDT,ETH/USDT
    """
    from cli.data import import_files

    import_files(path, symbols_of(instruments), timeframe, as_json, world)


@data_app.command("download")
def data_download(
    venue: Annotated[str, typer.Option("--venue", help="Where to ask: simulator, binanceusdm, bybit, …")],
    instruments: Annotated[
        str, typer.Option("--instruments", help="Such as BTC/USDT,ETH/USDT, or candidates:20 for the ranked pool.")
    ],
    timeframe: Annotated[str, typer.Option("--timeframe", help="Length of the candles, such as 5m.")],
    since: Annotated[str, typer.Option("--from", metavar="DATE", help="First moment, UTC: 2021-01-01.")],
    until: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="End, not included; the last closed candle without it.")
    ] = None,
    simulator: Annotated[
        str | None, typer.Option("--simulator", metavar="URL", help="A practice world that runs by itself.")
    ] = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Fetch a venue's candles into the shared history: only what is missing; repeat it to go on where it stopped.

    Example: tradewinds data download --venue simulator --instruments BTC/USDT --timeframe 5m --from 2026-01-02
    """
    from cli.download import Asked, download

    download(Asked(venue, symbols_of(instruments), timeframe, since, until, simulator, as_json, world))


@data_app.command("list")
def data_list(path: MaybePlace = None, as_json: AsJson = False, world: World = None) -> None:
    """Which candles are kept: how many, from when to when.

    Example: tradewinds data list
    """
    from cli.data import list_series

    list_series(path, as_json, world)


@data_app.command("verify")
def data_verify(path: MaybePlace = None, as_json: AsJson = False, world: World = None) -> None:
    """Every gap, late listing and early end, of the stored candles or of files.

    Example: tradewinds data verify --json
    """
    from cli.data import verify

    verify(path, as_json, world)


@data_app.command("snapshots")
def data_snapshots(as_json: AsJson = False, world: World = None) -> None:
    """Which market snapshots are kept (book, tape, mark, open interest), and how many closes had none in time.

    Example: tradewinds data snapshots --json
    """
    from cli.data import list_market

    list_market(as_json, world)


@data_app.command("revisions")
def data_revisions(as_json: AsJson = False, world: World = None) -> None:
    """Candles that a venue has corrected: what they were, and how many signals had been raised since they closed.

    Example: tradewinds data revisions --json
    """
    from cli.data import list_revised

    list_revised(as_json, world)


@data_app.command("candidates")
def data_candidates(
    venue: Annotated[str | None, typer.Option("--venue", help="Whose instruments; the first venue without it.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Judge and rank now; beat does so every hour.")] = False,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Which instruments are worth looking at, in which order, and what spoke against the others.

    Example: tradewinds data candidates --refresh
    """
    from cli.candidates import show_candidates

    show_candidates(venue, refresh, as_json, world)


backtest_app = typer.Typer(no_args_is_help=True, help="Backtests on the very functions the fleet runs.")

StrategyName = Annotated[str, typer.Option("--strategy", help="Name of the strategy: tradewinds strategies list.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the strategy; repeatable.")
]
Limits = Annotated[
    list[str] | None, typer.Option("--limit", metavar="NAME=VALUE", help="A limit of the risk profile; repeatable.")
]
Since = Annotated[str | None, typer.Option("--from", metavar="DATE", help="First moment traded, UTC: 2021-01-01.")]
Until = Annotated[str | None, typer.Option("--to", metavar="DATE", help="End of the candles, not included.")]
Risk = Annotated[str | None, typer.Option("--risk", help="Risk profile: standard, scalper, futures or spot.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of candle files; the stored candles without it.")]
Equity = Annotated[float, typer.Option("--equity", min=1, help="What the account begins with.")]
Fee = Annotated[float | None, typer.Option("--fee-bps", min=0, help="Fee of every fill in basis points.")]
Slippage = Annotated[
    float | None, typer.Option("--slippage-bps", min=0, help="What market fills pay beyond the price.")
]
Spread = Annotated[
    float | None, typer.Option("--spread-bps", min=0, help="Whole spread of the book assumed at a close.")
]
Latency = Annotated[str | None, typer.Option("--latency", metavar="DURATION", help="From decision to fill: 2s.")]
VenueName = Annotated[str | None, typer.Option("--venue", help="Venue of the stored candles.")]
Folders = Annotated[
    list[Path] | None, typer.Option("--strategies", help="Folder with strategies of your own; repeatable.")
]


@backtest_app.command("run")
def backtest_run(
    strategy: StrategyName,
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
    report: Annotated[Path | None, typer.Option(help="Write a report with charts to this HTML file.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write trades, decisions and equity into this folder.")] = None,
    venue: VenueName = None,
    advisor: Annotated[
        str | None, typer.Option("--advisor", help="Hear the answers that the world's model gave under this profile.")
    ] = None,
    as_json: AsJson = False,
    world: World = None,
) -> None:
    """Run a strategy over recorded candles, judged, sized and left as the fleet would.

    Example: tradewinds backtest run --strategy confluence --data ../candles --from 2021-03-01 --risk futures
    """
    # This process lives for one run, and what it makes it keeps: looking for garbage would only cost.
    gc.disable()
    from cli.backtest import Wanted, run_backtest
    from cli.wishes import wishes_of

    wishes = wishes_of(
        strategy, param, instruments, timeframe, since, until, risk, limit, equity, fee_bps, slippage_bps, spread_bps,
        latency, strategies,
    )  # fmt: skip
    run_backtest(Wanted(wishes, data, venue, world, as_json, report, export, advisor))


@backtest_app.command("why")
def backtest_why(
    number: Annotated[int, typer.Argument(help="Number of the trade in the order of closing, from 1.")],
    strategy: StrategyName,
    signal: Annotated[bool, typer.Option("--signal", help="The number is a signal's, vetoed ones too.")] = False,
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
    """Why a backtest made one trade: the same run once more, with the judges of that trade watched.

    Example: tradewinds backtest why 17 --strategy confluence --data ../candles
    """
    from cli.backtest import Wanted, explain_trade
    from cli.wishes import wishes_of

    wishes = wishes_of(
        strategy, param, instruments, timeframe, since, until, risk, limit, equity, fee_bps, slippage_bps, spread_bps,
        latency, strategies,
    )  # fmt: skip
    explain_trade(Wanted(wishes, data, venue, world, as_json), number, of_signals=signal)


strategies_app = typer.Typer(no_args_is_help=True, help="Strategies: ours, and those of a folder or a package.")


@strategies_app.command("list")
def strategies_list(strategies: Folders = None, as_json: AsJson = False) -> None:
    """All strategies with what they do and how many candles they need.

    Example: tradewinds strategies list --strategies ./mine
    """
    from cli.strategies import list_strategies

    list_strategies(strategies or [], as_json)


@strategies_app.command("show")
def strategies_show(
    name: Annotated[str, typer.Argument(help="Name of the strategy.")],
    strategies: Folders = None,
    as_json: AsJson = False,
) -> None:
    """One strategy: the features it looks at, and its parameters with their bounds.

    Example: tradewinds strategies show confluence
    """
    from cli.strategies import show_strategy

    show_strategy(name, strategies or [], as_json)


def lookahead_check(
    every: Annotated[bool, typer.Option("--all", help="Every strategy there is.")] = False,
    strategy: Annotated[list[str] | None, typer.Option("--strategy", help="This one; repeatable.")] = None,
    strategies: Folders = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of candle files; made markets without it.")
    ] = None,
    instruments: Symbols = "",
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Cut the future off and see whether the past changes; and begin later and see whether the present does.

    Example: tradewinds lookahead-check --all --strategies ./mine
    """
    from cli.strategies import check
    from common.domain.errors import InvalidInput

    if every == bool(strategy):
        raise InvalidInput("strategy", strategy, "--all, or --strategy NAME")
    raise typer.Exit(check(strategy or [], strategies or [], data, symbols_of(instruments), since, as_json))


def parity(
    data: Annotated[Path, typer.Option("--data", help="Folder of candle files.")],
    instruments: Annotated[str, typer.Option("--instruments", help="Such as BTC/USDT,ETH/USDT.")],
    candles: Annotated[int, typer.Option("--candles", min=1, help="Candles of each instrument to compare.")] = 1000,
    strategy: Annotated[str, typer.Option("--strategy", help="One or more, with commas.")] = "ema_crossover",
    risk: Annotated[str, typer.Option("--risk", help="Risk profile of the account.")] = "standard",
    skip: Annotated[int, typer.Option("--skip", min=0, help="Candles left out at the beginning.")] = 0,
    param: Params = None,
    model: Annotated[
        bool, typer.Option("--model", help="A model confirms every entry; the backtest hears its recorded answers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The same candles through the real services on real Postgres and through the backtest: what differs?

    Example: tradewinds parity --data ../candles --instruments BTC/USDT,ETH/USDT --candles 3000
    """
    from cli.context import become

    arguments = ["--data", str(data), "--instruments", instruments, "--candles", str(candles), "--skip", str(skip)]
    arguments += ["--strategy", strategy, "--risk", risk, "--model", "on" if model else "off"]
    for item in param or []:
        arguments += ["--param", item]
    arguments += ["--json"] if as_json else []
    become("simulation.parity", *arguments)
