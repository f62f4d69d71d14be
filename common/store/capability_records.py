"""What probes found out about venues; the newest record of a mode takes the place of the one before."""

from __future__ import annotations

import builtins

from sqlalchemy import select

from common.domain.capability import CapabilityRecord, CaseOutcome, CaseResult
from common.domain.codec import encode
from common.store import tables
from common.store.session import AnyRow, Session, matching


class CapabilityRecords:
    """Records by venue and mode; they belong to nobody."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def put(self, record: CapabilityRecord) -> None:
        """Keep `record` in place of the one before of the same venue and mode."""
        row = {
            "venue": record.venue,
            "mode": record.mode,
            "personality": record.personality,
            "build": record.build,
            "probed_at": record.probed_at,
            "passed": record.count(CaseOutcome.PASSED),
            "failed": record.count(CaseOutcome.FAILED),
            "is_passing": record.is_passing,
            "findings": dict(record.findings),
            "cases": encode(list(record.cases)),
        }
        self._session.put(tables.capability_records, row)

    def get(self, venue: str, mode: str) -> CapabilityRecord | None:
        """The record of that mode, if the venue was ever probed in it."""
        row = self._session.first(matching(tables.capability_records, "venue", "mode"), {"venue": venue, "mode": mode})
        return None if row is None else _value(row)

    def is_passing(self, venue: str) -> bool:
        """Whether at least one mode of the venue has a passing record and none has a failing one."""
        statement = "SELECT coalesce(bool_and(is_passing), false) FROM capability_records WHERE venue = :venue"
        return bool(self._session.scalar(statement, {"venue": venue}))

    def list(self) -> builtins.list[CapabilityRecord]:
        """Every record, by venue and mode."""
        table = tables.capability_records
        return [_value(row) for row in self._session.all(select(table).order_by(table.c.venue, table.c.mode))]


def _value(row: AnyRow) -> CapabilityRecord:
    cases = tuple(CaseResult(c["number"], c["name"], CaseOutcome(c["outcome"]), c["seen"]) for c in row.cases)
    return CapabilityRecord(row.venue, row.mode, row.personality, row.build, row.probed_at, row.findings, cases)
