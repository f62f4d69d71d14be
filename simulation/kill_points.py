"""Every place at which a worker can be killed: a service, a door it goes through, and the side of the door."""

from __future__ import annotations

from simulation.hub import KillPoint

KILL_POINTS: frozenset[KillPoint] = frozenset()
