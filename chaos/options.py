"""What a chaos run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """One run: how many faults of which kinds, drawn from which seed, in which world."""

    faults: int = 200
    seed: int = 1
    kinds: tuple[str, ...] = ()
    directory: Path | None = None
    as_json: bool = False
    speed: float = 20.0
    tenants: int = 2
    replicas: int = 2
    round_size: int = 100
    squall: int = 96

    def command(self) -> str:
        """What repeats this run."""
        text = f"tradewinds chaos --faults {self.faults} --seed {self.seed}"
        text += f" --kinds {','.join(self.kinds)}" if self.kinds else ""
        return text + f" --speed {self.speed:g} --tenants {self.tenants} --replicas {self.replicas}"
