"""The answers that a world's model gave, for a backtest to hear them again: asked once, and never paid for twice."""

from __future__ import annotations

from common.domain.advice import AdvisorFallback
from common.domain.backtest import Counsel
from common.domain.errors import NotFound
from common.services.fleet import Fleet


def recorded_counsel(fleet: Fleet, profile: str, on_unavailable: AdvisorFallback = AdvisorFallback.WAIT) -> Counsel:
    """Every answer of `profile` by its signal; raises NotFound naming the profiles of which there are answers."""
    with fleet.store.unit_of_work(None) as uow:
        answers = {advice.signal_id: advice for advice in uow.advice.of_profile(profile)}
        if not answers:
            raise NotFound("recorded answers of the advisor profile", profile, uow.advice.profiles())
    return Counsel(answers, on_unavailable)
