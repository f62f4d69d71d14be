"""The bus port: rings the doorbell of a stage; losing a ring loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from common.domain.job import JobRef


class Bus(Protocol):
    """Delivers references of jobs to the workers of their stages, at most as a hint."""

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Tell the stages of `refs` that these jobs wait; raises Transient when the broker cannot be reached."""
        ...
