"""What a file of candles is called: BTC_USDT-5m.parquet, XRP_USDT_USDT-1h-futures.parquet, KRAKEN_XBTUSDT-1m.parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.domain.market import Timeframe

CATALOGUE = "catalog.csv"
VENUES = ("binance", "kraken", "bybit", "coinbase", "hyperliquid", "aster", "okx")
QUOTES = ("USDT", "USDC", "BUSD", "USD", "EUR", "BTC", "ETH", "BNB")
OLD_NAMES = {"XBT": "BTC"}
UNNAMED = "recorded"

_FILE = re.compile(
    r"(?P<parts>[A-Z0-9]+(?:_[A-Z0-9]+){1,2})-(?P<timeframe>[1-9][0-9]*[mhd])"
    r"(?:-(?P<kind>futures|mark|funding_rate))?\.(?P<form>parquet|csv)"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a file says: candles (`kind` empty or futures), mark prices or funding rates."""

    path: Path
    venue: str
    symbol: str
    timeframe: Timeframe
    kind: str

    @property
    def has_candles(self) -> bool:
        """Whether it holds candles of trades."""
        return self.kind in {"", "futures"}


def parse(path: Path) -> Named | None:
    """What `path` is called, None when it is not called like a file of candles."""
    match = _FILE.fullmatch(path.name)
    if match is None:
        return None
    first, second, *rest = match["parts"].split("_")
    if first.lower() in VENUES and not rest:
        return _joined(path, first.lower(), second, match)
    symbol = f"{first}/{second}" + (f":{rest[0]}" if rest else "")
    return Named(path, _venue_of(path), symbol, Timeframe.parse(match["timeframe"]), match["kind"] or "")


def _joined(path: Path, venue: str, pair: str, match: re.Match[str]) -> Named | None:
    quote = next((name for name in QUOTES if pair.endswith(name) and pair != name), None)
    if quote is None:
        return None
    base = pair.removesuffix(quote)
    symbol = f"{OLD_NAMES.get(base, base)}/{quote}"
    return Named(path, venue, symbol, Timeframe.parse(match["timeframe"]), match["kind"] or "")


def _venue_of(path: Path) -> str:
    """The nearest folder whose name begins with a venue's."""
    for folder in path.resolve().parents:
        begins = folder.name.lower().partition("-")[0]
        if begins in VENUES:
            return begins
    return UNNAMED


def catalogue(folder: Path) -> dict[Path, int]:
    """Rows of each file that a catalogue in `folder` or in the one above promises; files are paths below it."""
    for place in (folder, folder.parent):
        path = place / CATALOGUE
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as lines:
                return {(place / row["file"]).resolve(): int(row["rows"]) for row in csv.DictReader(lines)}
    return {}


def files(place: Path) -> Iterator[Named]:
    """Every file below `place`, or `place` itself, whose name is that of candles, mark prices or funding rates."""
    paths = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    yield from (named for path in paths if (named := parse(path)) is not None)
