"""Leadership: at most one holder of a name at a time, for as long as its connection lives."""

from __future__ import annotations

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from common.store.errors import translated


class Lease:
    """The lead of a name; it ends with `release`, with the process, or with the connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name

    def holds(self) -> bool:
        """Whether the lead is still held: its connection answers."""
        try:
            self._connection.execute(text("SELECT 1"))
            self._connection.rollback()
        except SQLAlchemyError:
            self._connection.invalidate()
            return False
        return True

    def release(self) -> None:
        """Give up the lead."""
        try:
            self._connection.execute(
                text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), {"name": self._name}
            )
            self._connection.commit()
        except SQLAlchemyError:
            # A connection that is gone holds nothing any more.
            self._connection.invalidate()
        self._connection.close()


def take_lead(connection: Connection, name: str) -> Lease | None:
    """The lead of `name` on `connection`, which serves nothing else from now on; closed, and None, when it is taken."""
    statement = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    try:
        taken = connection.execute(statement, {"name": name}).scalar()
        # The lock is the session's, not the transaction's: committing keeps it and leaves nothing idle in transaction.
        connection.commit()
    except SQLAlchemyError:
        connection.close()
        raise
    if not taken:
        connection.close()
        return None
    return Lease(connection, name)


class Leases:
    """Any number of leads on one connection; all of them end with it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._held: set[str] = set()

    @property
    def held(self) -> frozenset[str]:
        """The names led now, as far as the connection still lives."""
        return frozenset(self._held)

    def take(self, name: str) -> bool:
        """Whether `name` is led by us now; raises Transient, and holds nothing more, when the connection is gone."""
        if name in self._held:
            return True
        statement = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
        taken = bool(self._ask(statement, name))
        if taken:
            self._held.add(name)
        return taken

    def give(self, name: str) -> None:
        """Give the lead of `name` up."""
        if name in self._held:
            self._ask(text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), name)
            self._held.discard(name)

    def holds(self) -> bool:
        """Whether the leads are still held: their connection answers."""
        try:
            self._connection.execute(text("SELECT 1"))
            self._connection.rollback()
        except SQLAlchemyError:
            self._lose()
            return False
        return True

    def close(self) -> None:
        """Give everything up."""
        try:
            self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
            self._connection.commit()
        except SQLAlchemyError:
            self._lose()
        self._held.clear()
        self._connection.close()

    def _ask(self, statement: TextClause, name: str) -> object:
        try:
            answer = self._connection.execute(statement, {"name": name}).scalar()
            self._connection.commit()
        except SQLAlchemyError as error:
            self._lose()
            raise translated(error) from error
        return answer

    def _lose(self) -> None:
        self._held.clear()
        self._connection.invalidate()
