"""A market of our own making: seeded one-minute candles with regimes, jumps, a common factor and living volume."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from simulator.errors import BadArguments
from simulator.market.feed import Columns, Feed
from simulator.market.replay import plain

MINUTE_MS = 60_000
BLOCK = 1440  # candles made at a time: a day, so that a month of running is thirty small steps
STEPS = 6  # steps of the walk inside a minute, from which open, high, low and close are taken


class Kind(NamedTuple):
    """What a generated symbol is like: start price, its grid, daily volatility, share in the common factor, turnover."""

    price: float
    price_scale: int
    volume_scale: int
    volatility: float
    beta: float
    turnover: float  # USDT a minute


SYMBOLS = {
    "BTCUSDT": Kind(64_000.0, 1, 3, 0.030, 1.0, 4_000_000),
    "ETHUSDT": Kind(3_200.0, 2, 3, 0.038, 1.1, 2_200_000),
    "SOLUSDT": Kind(145.0, 3, 2, 0.050, 1.2, 900_000),
    "BNBUSDT": Kind(560.0, 2, 2, 0.034, 0.9, 500_000),
    "XRPUSDT": Kind(0.62, 4, 1, 0.045, 0.9, 600_000),
    "ADAUSDT": Kind(0.45, 4, 0, 0.048, 1.0, 250_000),
    "LINKUSDT": Kind(14.5, 3, 2, 0.050, 1.1, 220_000),
    "DOGEUSDT": Kind(0.135, 5, 0, 0.060, 1.2, 400_000),
}
# Regimes: drift and volatility as multiples of the day's volatility, and mean reversion inside the regime.
REGIMES = np.array([[0.0, 0.7, 0.06], [0.9, 0.9, 0.0], [-0.9, 1.0, 0.0], [0.0, 1.9, 0.0], [0.0, 0.45, 0.12]])
REGIME_MINUTES = 180


def make_feeds(symbols: Iterable[str], seed: int, first_ms: int) -> dict[str, Feed]:
    """Feeds of the generated symbols by name; unknown ones are refused with what exists."""
    wanted = [plain(name) for name in symbols] or list(SYMBOLS)
    unknown = sorted(set(wanted) - SYMBOLS.keys())
    if unknown:
        raise BadArguments(f"--symbols {', '.join(unknown)} cannot be generated; accepted are {', '.join(SYMBOLS)}")
    return {symbol: GeneratedFeed.begin(symbol, seed, first_ms) for symbol in wanted}


@dataclass(slots=True)
class GeneratedFeed(Feed):
    """A feed that makes the next day of candles when time comes near it; it has no end."""

    kind: Kind = field(default_factory=lambda: SYMBOLS["BTCUSDT"])
    blocks: int = 0
    last: float = 0.0

    @classmethod
    def begin(cls, symbol: str, seed: int, first_ms: int) -> "GeneratedFeed":
        """The feed with its first day made."""
        kind = SYMBOLS[symbol]
        nothing = Columns(*(np.empty(0, dtype=np.int64) for _ in range(6)))
        feed = cls(symbol, MINUTE_MS, kind.price_scale, kind.volume_scale, seed, nothing, kind=kind, last=kind.price)
        feed._grow(first_ms)
        return feed

    @property
    def end_ms(self) -> int | None:
        """Never."""
        return None

    def cover(self, instant_ms: int) -> None:
        """Make days until one lies wholly ahead of the instant's minute."""
        while instant_ms >= int(self.columns.time[-1]):
            self._grow(int(self.columns.time[-1]) + MINUTE_MS)

    def _grow(self, opened_ms: int) -> None:
        block, self.last = make_block(self.kind, self.symbol, self.seed, self.blocks, opened_ms, self.last)
        self.columns = self.columns.joined(block) if self.blocks else block
        self.blocks += 1


def make_block(kind: Kind, symbol: str, seed: int, number: int, opened_ms: int, start: float) -> tuple[Columns, float]:
    """A day of candles and the price it ends at; a function of its arguments alone.

    RandomState is used because NumPy keeps its streams the same for ever, which a seed's meaning rests on.
    """
    common = np.random.RandomState(abs(seed * 1_000_003 + number) % 2**32)
    own = np.random.RandomState((abs(seed) * 7919 + number * 31 + zlib.crc32(symbol.encode())) % 2**32)
    volatility = _volatility(common, kind)
    shocks = kind.beta * 0.75 * common.standard_normal(BLOCK * STEPS) + 0.66 * own.standard_normal(BLOCK * STEPS)
    steps = shocks * np.repeat(volatility[1], STEPS) / np.sqrt(BLOCK * STEPS)
    steps += np.repeat(volatility[0], STEPS) / (BLOCK * STEPS)
    jumps = own.random_sample(BLOCK * STEPS) < 3.0 / (BLOCK * STEPS)
    steps += jumps * own.standard_normal(BLOCK * STEPS) * kind.volatility * 0.35
    log_price = _revert(steps, np.repeat(volatility[2], STEPS), np.log(start / kind.price))
    price = kind.price * np.exp(log_price).reshape(BLOCK, STEPS)
    return _columns(kind, own, price, start, opened_ms), float(price[-1, -1])


def _volatility(dice: np.random.RandomState, kind: Kind) -> np.ndarray:
    """Drift, volatility and pull for each minute, by regime."""
    picks = dice.randint(0, len(REGIMES), BLOCK // REGIME_MINUTES)
    regime = np.repeat(REGIMES[picks], REGIME_MINUTES, axis=0)
    hour = np.sin(np.arange(BLOCK) / BLOCK * 2 * np.pi) * 0.25 + 1.0
    return np.stack((regime[:, 0] * kind.volatility, regime[:, 1] * kind.volatility * hour, regime[:, 2]))


def _revert(steps: np.ndarray, pull: np.ndarray, start: float) -> np.ndarray:
    """The walk's logarithm, drawn back to its recent mean where the regime ranges, and faintly to its home for ever."""
    out = np.empty_like(steps)
    level, anchor = start, start
    for n, (step, force) in enumerate(zip(steps.tolist(), pull.tolist(), strict=True)):
        level += step - force * 0.15 * (level - anchor) - 2e-6 * level
        anchor += 0.002 * (level - anchor)
        out[n] = level
    return out


def _columns(kind: Kind, dice: np.random.RandomState, price: np.ndarray, start: float, opened_ms: int) -> Columns:
    grid = 10**kind.price_scale
    path = np.maximum(1, np.rint(price * grid)).astype(np.int64)
    opens = np.concatenate(([max(1, round(start * grid))], path[:-1, -1]))
    high, low = np.maximum(opens, path.max(axis=1)), np.minimum(opens, path.min(axis=1))
    move = np.abs(np.log(price[:, -1] * grid / opens)) / (kind.volatility / np.sqrt(BLOCK))
    turnover = kind.turnover * (0.35 + 0.65 * move) * np.exp(0.45 * dice.standard_normal(BLOCK))
    volume = np.maximum(1, np.rint(turnover / price[:, -1] * 10**kind.volume_scale)).astype(np.int64)
    times = opened_ms + np.arange(BLOCK, dtype=np.int64) * MINUTE_MS
    return Columns(times, opens, high, low, path[:, -1].copy(), volume)
