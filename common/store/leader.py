"""Leadership: at most one holder of a name at a time, for as long as its connection lives."""

from __future__ import annotations

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError


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
