"""Parameter sets of one tenant, what became of each, and which was in force when."""

from __future__ import annotations

import builtins
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from common.domain.parameter_version import Activation, ParameterVersion
from common.store import tables
from common.store.codecs import ACTIVATION, PARAMETER_VERSION
from common.store.session import Session


class ParameterVersions:
    """Proposals, decisions and the order in which sets were in force; nothing here is ever deleted."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, version: ParameterVersion) -> bool:
        """Keep a proposal; False when somebody else took its number first."""
        row = PARAMETER_VERSION.row(version) | {"parameters": dict(version.parameters)}
        return self._session.add_once(tables.parameter_versions, row)

    def next_number(self, strategy: str) -> int:
        """One more than the tenant's newest set for `strategy`."""
        table = tables.parameter_versions
        newest = self._session.scalar(select(func.max(table.c.number)).where(table.c.strategy == strategy))
        return int(newest or 0) + 1

    def get(self, strategy: str, number: int) -> ParameterVersion | None:
        """The tenant's set of that number, if there is one."""
        return next((item for item in self.list(strategy) if item.number == number), None)

    def list(self, strategy: str | None = None) -> builtins.list[ParameterVersion]:
        """The tenant's sets by strategy, the newest first."""
        return versions_of(self._session, self._session.tenant(), strategy)

    def save(self, version: ParameterVersion) -> bool:
        """Keep the next move of a set; False when somebody else moved it first."""
        table = tables.parameter_versions
        statement = (
            update(table)
            .where(
                table.c.strategy == version.strategy,
                table.c.number == version.number,
                table.c.moves == version.moves - 1,
            )
            .values(
                state=version.state.value,
                moves=version.moves,
                decided_by=version.decided_by,
                decided_at=version.decided_at,
                decision=version.decision,
            )
        )
        return self._session.changed(statement) == 1

    def activations(self, strategy: str) -> builtins.list[Activation]:
        """Which set was in force when, oldest first; before the first one the defaults were."""
        table = tables.parameter_activations
        rows = self._session.all(select(table).where(table.c.strategy == strategy).order_by(table.c.sequence))
        return [ACTIVATION.value(row) for row in rows]

    def digest_at(self, strategy: str, at: datetime) -> str:
        """Digest of the set in force for candles that close at `at`; empty for the defaults."""
        found = (
            item.digest
            for item in self.activations(strategy)
            if item.active_from <= at and (item.active_to is None or item.active_to > at)
        )
        return next(found, "")

    def activate(self, strategy: str, number: int, digest: str, at: datetime) -> Activation | None:
        """Put a set in force from `at` on, or from the last one's beginning if that is later.

        None, and nothing kept, when somebody else put one in force at the same moment.
        """
        before = self.activations(strategy)
        last = before[-1] if before else None
        start = at if last is None else max(at, last.active_from)
        found = Activation(self._session.tenant(), strategy, len(before) + 1, number, digest, start)
        if not self._session.add_once(tables.parameter_activations, ACTIVATION.row(found)):
            return None
        if last is not None:
            table = tables.parameter_activations
            condition = (table.c.strategy == strategy) & (table.c.sequence == last.sequence)
            self._session.execute(update(table).where(condition).values(active_to=start))
        return found


def versions_of(session: Session, tenant: UUID | None, strategy: str | None) -> builtins.list[ParameterVersion]:
    """The sets that the session may see, of `tenant` or of all, by strategy, the newest first."""
    table = tables.parameter_versions
    statement = select(table).order_by(table.c.tenant_id, table.c.strategy, table.c.number.desc())
    if tenant is not None:
        statement = statement.where(table.c.tenant_id == tenant)
    if strategy is not None:
        statement = statement.where(table.c.strategy == strategy)
    return [PARAMETER_VERSION.value(row) for row in session.all(statement)]
