"""maintenance.instruments: what a venue lists now, and what has become of what it listed before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from common.domain.errors import Transient
from common.domain.market import Instrument, InstrumentStatus
from common.services.alerts import tell
from common.services.fleet import Fleet


def refresh_instruments(fleet: Fleet, venue: str) -> int:
    """Store what the venue lists now, with grids, filters and status; returns how many instruments it lists.

    What it lists no more is delisted: no entry passes risk in it any more, what is held in it stays looked after.
    Changes of status are audited and told to the operator. Raises Transient for an empty listing, which would delist
    everything at once.
    """
    listed = list(fleet.market(venue).instruments())
    if not listed:
        raise Transient(f"{venue} answered an empty listing")
    with fleet.store.unit_of_work(None) as uow:
        known = {item.symbol: item for item in uow.instruments.list(venue)}
        found = [*listed, *_gone(known, listed)]
        changes = _changes(known, found)
        uow.instruments.save(found)
        for before, after in changes:
            payload = {"venue": venue, "from": before.status.value, "to": after.status.value}
            uow.audit.append("instrument", after.symbol, payload, fleet.clock.now())
        uow.commit()
    for before, after in changes:
        _tell(fleet, before, after)
    return len(listed)


def _gone(known: Mapping[str, Instrument], listed: Sequence[Instrument]) -> list[Instrument]:
    there = {item.symbol for item in listed}
    return [replace(item, status=InstrumentStatus.DELISTED) for item in known.values() if item.symbol not in there]


def _changes(known: Mapping[str, Instrument], found: Sequence[Instrument]) -> list[tuple[Instrument, Instrument]]:
    pairs = [(known[item.symbol], item) for item in found if item.symbol in known]
    return [(before, after) for before, after in pairs if before.status is not after.status]


def _tell(fleet: Fleet, before: Instrument, after: Instrument) -> None:
    title = f"{after.symbol} at {after.venue} is {after.status.value}"
    body = f"It was {before.status.value}. Entries pass risk only while it is trading; exits are never kept back."
    tell(fleet, "instrument_status", title, body)
