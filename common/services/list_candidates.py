"""The pool of candidates of a venue, as it was last ranked, or its majors where it was not."""

from __future__ import annotations

from datetime import timedelta

from common.domain.candidates import Candidate, default_pool
from common.domain.errors import InvalidInput
from common.domain.sources import PriceFinding
from common.services.fleet import Fleet
from common.store import UnitOfWork

POOL = "candidates"
FINDINGS_SHOWN = timedelta(days=1)


def list_candidates(fleet: Fleet, venue: str) -> list[Candidate]:
    """Every instrument of `venue` that was judged at its last refresh: the pool by rank, then the others by name."""
    with fleet.store.unit_of_work(None) as uow:
        return uow.candidates.list(venue)


def list_findings(fleet: Fleet, venue: str) -> list[PriceFinding]:
    """Prices of `venue` that were in doubt within the last day, the newest first."""
    with fleet.store.unit_of_work(None) as uow:
        return uow.price_findings.list(venue, fleet.clock.now() - FINDINGS_SHOWN)


def pool(uow: UnitOfWork, venue: str) -> list[str]:
    """Symbols of the pool, the best first; the venue's majors where nothing was ranked or nothing passed."""
    chosen = [item.symbol for item in uow.candidates.list(venue) if item.rank is not None]
    return chosen or default_pool(uow.instruments.list(venue))


def names_pool(name: str) -> bool:
    """Whether `name` is meant to name a pool and not an instrument."""
    return name.partition(":")[0] == POOL


def pool_of(uow: UnitOfWork, venue: str, name: str) -> list[str]:
    """The symbols that `candidates` or `candidates:20` names; raises InvalidInput for anything else."""
    _, colon, count = name.partition(":")
    if not names_pool(name) or (colon and not (count.isdigit() and int(count) > 0)):
        raise InvalidInput("instruments", name, "candidates, or candidates:20 for the first twenty")
    found = pool(uow, venue)
    return found[: int(count)] if count else found
