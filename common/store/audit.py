"""The audit trail: one chain of hashes per tenant, and one of the platform."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.domain.errors import Permanent
from common.store.session import AnyRow, Session, plain_json

_LOCK_HEAD = {
    "audit": """
        INSERT INTO audit_heads (tenant_id, seq, hash) VALUES (:tenant, 0, '')
        ON CONFLICT (tenant_id) DO UPDATE SET seq = audit_heads.seq RETURNING seq, hash
    """,
    "platform_audit": """
        INSERT INTO platform_audit_heads (is_only, seq, hash) VALUES (true, 0, '')
        ON CONFLICT (is_only) DO UPDATE SET seq = platform_audit_heads.seq RETURNING seq, hash
    """,
}

_ROWS = """
    SELECT {tenant} * FROM unnest(
        CAST(:seqs AS bigint[]), CAST(:kinds AS text[]), CAST(:subjects AS text[]), CAST(:payloads AS json[]),
        CAST(:times AS timestamptz[]), CAST(:prevs AS text[]), CAST(:hashes AS text[]))
"""
_COLUMNS = "seq, kind, subject, payload, occurred_at, prev_hash, hash"

_SHOWN = "seq, kind, subject, payload, occurred_at, hash"

_APPEND = {
    "audit": f"""
        WITH entries AS (
            INSERT INTO audit (tenant_id, {_COLUMNS}) {_ROWS.format(tenant="CAST(:tenant AS uuid),")}
        )
        UPDATE audit_heads SET seq = :seq, hash = :hash WHERE tenant_id = :tenant
    """,
    "platform_audit": f"""
        WITH entries AS (INSERT INTO platform_audit ({_COLUMNS}) {_ROWS.format(tenant="")})
        UPDATE platform_audit_heads SET seq = :seq, hash = :hash WHERE is_only
    """,
}

_CHAIN = f"""
    SELECT seq, kind, subject, payload::text AS payload, occurred_at, prev_hash, hash FROM {{table}}
    WHERE seq > :after ORDER BY seq LIMIT {(_PAGE := 5000)}
"""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One link of a chain."""

    seq: int
    kind: str
    subject: str
    payload: Mapping[str, Any]
    occurred_at: datetime
    hash: str


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The end of a chain: what is to be anchored outside."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    subject: str
    payload: str
    at: datetime

    def hash_after(self, prev: str, seq: int) -> str:
        fact = plain_json(
            {"kind": self.kind, "subject": self.subject, "payload": json.loads(self.payload), "at": self.at}
        )
        return hashlib.sha256(f"{prev}|{seq}|{fact}".encode()).hexdigest()


class Audit:
    """Entries are collected and written by the commit, last of all, so that the head is locked for a moment only."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._table = "platform_audit" if session.tenant_id is None else "audit"
        self._entries: list[_Entry] = []

    def append(self, kind: str, subject: str, payload: Mapping[str, Any], now: datetime) -> None:
        """Remember that `kind` happened to `subject`, in the chain of this unit's tenant or of the platform."""
        self._entries.append(_Entry(kind, subject, plain_json(payload), now.astimezone(UTC)))

    def flush(self) -> None:
        """Link the collected entries to the chain."""
        if not self._entries:
            return
        entries, self._entries = self._entries, []
        tenant = {"tenant": self._session.tenant_id}
        head = self._session.first(_LOCK_HEAD[self._table], tenant)
        seq, last = (head.seq, head.hash) if head else (0, "")
        prevs, hashes = [], []
        for number, entry in enumerate(entries, start=seq + 1):
            prevs.append(last)
            last = entry.hash_after(last, number)
            hashes.append(last)
        columns = {
            "seqs": list(range(seq + 1, seq + 1 + len(entries))),
            "kinds": [entry.kind for entry in entries],
            "subjects": [entry.subject for entry in entries],
            "payloads": [entry.payload for entry in entries],
            "times": [entry.at for entry in entries],
            "prevs": prevs,
            "hashes": hashes,
        }
        self._session.changed(_APPEND[self._table], tenant | columns | {"seq": seq + len(entries), "hash": last})

    def verify(self) -> int:
        """How many entries the whole chain has; raises Permanent naming the first link that does not hold."""
        seq, last = 0, ""
        while rows := self._session.all(_CHAIN.format(table=self._table), {"after": seq}):
            for row in rows:
                last = self._checked(row, seq + 1, last)
                seq += 1
        head = self.head()
        if (head.seq, head.hash) != (seq, last):
            raise Permanent(f"{self._table}: the chain ends at {seq}, its head says {head.seq}")
        return seq

    def _checked(self, row: AnyRow, seq: int, prev: str) -> str:
        if row.seq != seq:
            raise Permanent(f"{self._table}: entry {seq} is missing")
        expected = _Entry(row.kind, row.subject, row.payload, row.occurred_at).hash_after(prev, seq)
        if row.prev_hash != prev or row.hash != expected:
            raise Permanent(f"{self._table}: entry {seq} was changed")
        return expected

    def head(self) -> AuditHead:
        """The end of the chain; sequence 0 while it is empty."""
        row = self._session.first(f"SELECT seq, hash FROM {self._table}_heads")
        return AuditHead(row.seq, row.hash) if row else AuditHead(0, "")

    def of(self, subject: str) -> list[AuditEntry]:
        """Everything that happened to `subject`, in order."""
        rows = self._session.all(
            f"SELECT {_SHOWN} FROM {self._table} WHERE subject = :subject ORDER BY seq",
            {"subject": subject},
        )
        return [AuditEntry(*row) for row in rows]
