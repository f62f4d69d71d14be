"""Halts, and the epoch that every risk-increasing order carries."""

from __future__ import annotations

import builtins
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from common.domain.risk.book import Halt, HaltMode, HaltScope
from common.store import tables
from common.store.codecs import HALT
from common.store.session import Session

# The epoch row is locked before the halt is written: whoever holds it FOR SHARE to submit an order goes first,
# and whoever comes after this commit reads the new epoch.
_NEXT_EPOCH = "UPDATE halt_epoch SET epoch = epoch + 1 WHERE is_only RETURNING epoch"

_LIST = select(tables.halts).where(tables.halts.c.lifted_at.is_(None)).order_by(tables.halts.c.epoch)

_COVERING = """
    SELECT * FROM halts
    WHERE {which} AND (
        scope = 'platform'
        OR (scope = 'venue' AND subject = :venue)
        OR (scope = 'tenant' AND subject = :tenant)
        OR (scope = 'strategy' AND subject = :strategy)
        OR (scope = 'instrument' AND subject = :instrument))
    ORDER BY epoch
"""

_IN_FORCE = _COVERING.format(which="lifted_at IS NULL")
_IMPOSED_SINCE = _COVERING.format(which="epoch > :epoch")

_LIFT = """
    UPDATE halts SET lifted_at = :now, lifted_by = :by
    WHERE lifted_at IS NULL AND scope = :scope AND subject = :subject AND tenant_id IS NOT DISTINCT FROM :tenant
    RETURNING *
"""


class Halts:
    """A halt belongs to who imposed it: the tenant in context, or the platform when there is none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def epoch_for_share(self) -> int:
        """The epoch, held still until this transaction ends: no halt can commit in between."""
        return int(self._session.scalar("SELECT epoch FROM halt_epoch WHERE is_only FOR SHARE"))

    def epoch(self) -> int:
        """The epoch as of now."""
        return int(self._session.scalar("SELECT epoch FROM halt_epoch WHERE is_only"))

    def lock(self) -> None:
        """Let no other halt be imposed or lifted until this transaction ends."""
        self._session.execute("SELECT epoch FROM halt_epoch WHERE is_only FOR UPDATE")

    def in_force(
        self, venue: str, tenant_id: UUID | None, strategy: str | None, instrument: str | None
    ) -> builtins.list[Halt]:
        """Halts that cover an order of `tenant_id` at `venue` by `strategy` on `instrument`, oldest first."""
        return self._covering(_IN_FORCE, venue, tenant_id, strategy, instrument)

    def imposed_since(
        self, epoch: int, venue: str, tenant_id: UUID | None, strategy: str | None, instrument: str | None
    ) -> builtins.list[Halt]:
        """Halts that cover such an order and were imposed after `epoch`, those lifted since included, oldest first."""
        return self._covering(_IMPOSED_SINCE, venue, tenant_id, strategy, instrument, epoch=epoch)

    def _covering(
        self,
        statement: str,
        venue: str,
        tenant_id: UUID | None,
        strategy: str | None,
        instrument: str | None,
        **more: int,
    ) -> builtins.list[Halt]:
        parameters = {
            "venue": venue,
            "tenant": str(tenant_id) if tenant_id else "",
            "strategy": strategy or "",
            "instrument": instrument or "",
        }
        return [HALT.value(row) for row in self._session.all(statement, parameters | more)]

    def add(self, scope: HaltScope, subject: str, mode: HaltMode, reason: str, by: str, now: datetime) -> Halt:
        """Halt `subject` from the next epoch on, in place of a halt of the same imposer on it."""
        epoch = int(self._session.scalar(_NEXT_EPOCH))
        self._end(scope, subject, by, now)
        halt = Halt(scope=scope, subject=subject, mode=mode, epoch=epoch, reason=reason, since=now)
        row = HALT.row(halt) | {"tenant_id": self._session.tenant_id, "imposed_by": by}
        self._session.add(tables.halts, row)
        return halt

    def lift(self, scope: HaltScope, subject: str, by: str, now: datetime) -> Halt | None:
        """End the imposer's own halt on `subject`; the halt that was lifted, None when there is none."""
        self._session.scalar(_NEXT_EPOCH)
        return self._end(scope, subject, by, now)

    def _end(self, scope: HaltScope, subject: str, by: str, now: datetime) -> Halt | None:
        parameters = {"scope": scope.value, "subject": subject, "by": by, "now": now}
        row = self._session.first(_LIFT, parameters | {"tenant": self._session.tenant_id})
        return None if row is None else HALT.value(row)

    def list(self) -> builtins.list[Halt]:
        """Every halt in force that this context can see, oldest first."""
        rows = self._session.all(_LIST, {})
        return [HALT.value(row) for row in rows]

    def use_nonce(self, nonce: str, now: datetime) -> bool:
        """Use up `nonce`; False when it was used before."""
        return self._session.add_once(tables.nonces, {"nonce": nonce, "used_at": now})
