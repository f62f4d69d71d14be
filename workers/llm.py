"""The LLM stage: one question per signal and advisor profile."""

from __future__ import annotations

from common.domain.job import JobRef, Stage
from common.services import request
from common.services.fleet import Fleet
from workers.stage import stage


@stage(Stage.CONFIRM)
def confirm(fleet: Fleet, signal: str, advisor: str) -> JobRef:
    """Ask an advisor profile about a signal."""
    return request.confirmation(fleet, signal, advisor)
