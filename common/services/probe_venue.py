"""Probes a venue: runs the numbered cases against an account and keeps what was found as its capability record."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from common.domain.capability import CapabilityRecord, CaseOutcome, CaseResult
from common.domain.codec import encode
from common.domain.errors import TradewindsError
from common.services.fleet import Fleet
from common.services.probe_cases import QUICK, SCENARIOS
from common.services.probe_lab import Lab, Scenario, Seen

log = logging.getLogger(__name__)

MODE = "swap/one-way"
"""The mode the adapter trades in: linear perpetuals, one net position a symbol."""


def probe_venue(lab: Lab, venue: str, personality: str, build: str, *, quick: bool = False) -> CapabilityRecord:
    """Run the cases, all or the quick ones; what a scenario could not get to has failed, with the reason."""
    results: list[CaseResult] = []
    number = 0
    for scenario, names in SCENARIOS.items():
        if not quick or scenario in QUICK:
            seen = list(_run(scenario(lab), names))
            results += [
                CaseResult(number + place, name, case.outcome, case.text)
                for place, (name, case) in enumerate(zip(names, seen, strict=True), 1)
            ]
        number += len(names)
    return CapabilityRecord(venue, MODE, personality, build, lab.clock.now(), dict(lab.findings), tuple(results))


def _run(scenario: Scenario, names: Sequence[str]) -> Iterator[Seen]:
    reached = 0
    try:
        for case in scenario:
            yield case
            reached += 1
        reason = "the scenario ended before it"
    except (TradewindsError, ArithmeticError, LookupError, ValueError) as error:
        log.warning("the probe stopped at %r: %s", names[reached], error)
        reason = f"not reached: {type(error).__name__}: {error}"
    yield from (Seen(CaseOutcome.FAILED, reason) for _ in names[reached:])


def keep_record(fleet: Fleet, record: CapabilityRecord) -> None:
    """Keep `record` in place of the one before, and say so in the platform's audit trail."""
    with fleet.store.unit_of_work(None) as uow:
        uow.capability_records.put(record)
        told = {"mode": record.mode, "personality": record.personality, "build": record.build}
        counts = {outcome.value: record.count(outcome) for outcome in CaseOutcome}
        uow.audit.append("probe", record.venue, encode(told | counts), record.probed_at)
        uow.commit()


def has_passing_record(fleet: Fleet, venue: str, build: str) -> bool:
    """Whether this build of ours was probed against `venue` and passed."""
    with fleet.store.unit_of_work(None) as uow:
        record = uow.capability_records.get(venue, MODE)
    return record is not None and record.is_passing and record.build == build
