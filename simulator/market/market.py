"""All symbols of the practice world together: where they come from, where time starts, and when they are at their end."""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from simulator.errors import BadArguments
from simulator.market.feed import TIMEFRAMES_MS, Feed
from simulator.market.generator import make_feeds
from simulator.market.replay import read_folder

GENERATED_FROM_MS = 1_767_571_200_000  # 2026-01-05 00:00 UTC, a Monday: generated history needs a fixed first instant
FIVE_MINUTES_MS = 300_000


@dataclass(slots=True)
class Market:
    """The feeds by symbol, a fingerprint of what they are, and the venue instant at which trading starts."""

    feeds: dict[str, Feed]
    fingerprint: str
    description: str
    start_ms: int
    base_ms: int

    @property
    def end_ms(self) -> int | None:
        """When the last symbol's data ends; None for a generated market."""
        ends = [feed.end_ms for feed in self.feeds.values()]
        return None if any(end is None for end in ends) else max(end for end in ends if end is not None)

    def is_exhausted(self, now_ms: int) -> bool:
        """Whether the market stands still because the data has ended."""
        return self.end_ms is not None and now_ms >= self.end_ms

    def is_listed(self, symbol: str, now_ms: int) -> bool:
        """Whether the symbol has begun trading."""
        return self.feeds[symbol].first_ms <= now_ms

    @property
    def timeframes(self) -> list[str]:
        """The timeframes that the base candles can make."""
        return [name for name, ms in TIMEFRAMES_MS.items() if ms % self.base_ms == 0]


def open_market(
    folder: Path | None, symbols: list[str], seed: int, warmup_candles: int, start: datetime | None
) -> Market:
    """The market of a folder, or a generated one; `start` overrides the place that the warm-up gives."""
    if folder is None:
        return _generated(symbols, seed, warmup_candles, start)
    feeds = read_folder(folder, symbols, seed)
    base_ms = next(iter(feeds.values())).base_ms
    first, last = min(f.first_ms for f in feeds.values()), max(int(f.columns.time[-1]) for f in feeds.values())
    start_ms = first + warmup_candles * base_ms if start is None else round(start.timestamp() * 1000)
    if not first <= start_ms <= last:
        raise BadArguments(
            f"the market starts at {_iso(start_ms)} by --start or --warmup-candles {warmup_candles}; "
            f"accepted is {_iso(first)} to {_iso(last)}, where the data of {folder.name!r} lies"
        )
    mark = zlib.crc32(
        repr(
            [(s, f.first_ms, len(f.columns.time), int(f.columns.close.sum())) for s, f in sorted(feeds.items())]
        ).encode()
    )
    return Market(feeds, f"replay:{folder.name}:{mark:08x}:{seed}", f"replay of {folder.name}", start_ms, base_ms)


def _generated(symbols: list[str], seed: int, warmup_candles: int, start: datetime | None) -> Market:
    start_ms = GENERATED_FROM_MS if start is None else round(start.timestamp() * 1000) // 60_000 * 60_000
    first_ms = start_ms - warmup_candles * FIVE_MINUTES_MS
    feeds = make_feeds(symbols, seed, first_ms)
    fingerprint = f"generated:{seed}:{first_ms}:{','.join(sorted(feeds))}"
    return Market(feeds, fingerprint, f"generated, seed {seed}", start_ms, 60_000)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
