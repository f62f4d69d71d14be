"""The path inside a candle: ticks that touch open, high, low and close exactly and carry exactly its volume."""

import random

MIN_TICKS = 6


def candle_path(open_: int, high: int, low: int, close: int, ticks: int, key: int) -> list[int]:
    """Prices of the ticks, in price steps; the same candle and key give the same path for ever.

    The first tick is the open, the last the close; the two extremes lie between them, the nearer one to the open
    usually first; the rest wanders between those four without leaving [low, high].
    """
    dice = random.Random(key)
    low_first = dice.random() < (0.7 if close >= open_ else 0.3)
    first_at = dice.randint(1, ticks // 2 - 1)
    second_at = dice.randint(max(first_at + 1, ticks // 2), ticks - 2)
    first, second = (low, high) if low_first else (high, low)
    path: list[int] = [open_]
    for start, end, target in ((0, first_at, first), (first_at, second_at, second), (second_at, ticks - 1, close)):
        _walk(path, end - start, target, low, high, dice)
    return path


def _walk(path: list[int], steps: int, target: int, low: int, high: int, dice: random.Random) -> None:
    """Append `steps` prices that end at the target, off the straight line by at most a fifth of the range."""
    start = path[-1]
    reach = (high - low) * 0.2
    for step in range(1, steps):
        straight = start + (target - start) * step / steps
        path.append(min(high, max(low, round(straight + (dice.random() * 2 - 1) * reach))))
    path.append(target)


def volume_path(volume: int, ticks: int, key: int) -> list[int]:
    """Cumulated volume after each tick, in volume steps; the last is the candle's volume."""
    dice = random.Random(key ^ 0x5DEECE66D)
    weights = [0.4 + dice.random() for _ in range(ticks)]
    total = sum(weights)
    running, out = 0.0, []
    for weight in weights:
        running += weight
        out.append(int(volume * (running / total)))
    out[-1] = volume
    return out
