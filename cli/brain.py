"""The commands of the brain: recorded data, backtests, strategies and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, World

data_app = typer.Typer(no_args_is_help=True, help="Recorded candles: import, list, verify.")

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
