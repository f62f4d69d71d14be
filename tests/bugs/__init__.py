"""Seeded bugs: each breaks one promise on purpose, and the simulation must notice; this shows that its proof can fail."""

from __future__ import annotations

from tests.bugs import jobs, learning, placing, protecting, replacing, risk, settling
from tests.bugs.garden import REGISTRY as BUGS

__all__ = ["BUGS", "jobs", "learning", "placing", "protecting", "replacing", "risk", "settling"]
