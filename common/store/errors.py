"""What Postgres and its drivers raise, in the fleet's own words."""

from __future__ import annotations

import psycopg
from sqlalchemy import exc

from common.domain.errors import OutcomeUnknown, Permanent, TradewindsError, Transient

# Class 08 connection, 40 rollback, 53 resources, 57 operator intervention (restart, statement timeout).
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57"})
# A lock not granted in time; a session ended because its transaction idled or lasted too long.
_TRANSIENT_STATES = frozenset({"55P03", "25P03", "25P04"})
# An answer of these classes to COMMIT says that nothing was kept: a constraint, or a conflict with another transaction.
_ROLLED_BACK_CLASSES = frozenset({"23", "40"})


def translated(error: Exception) -> TradewindsError:
    """What `error` of a statement means: Transient, or Permanent naming the constraint where there is one."""
    if isinstance(error, TradewindsError):
        return error
    if isinstance(error, exc.TimeoutError):
        return Transient("no free database connection within the pool's timeout")
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    if isinstance(cause, psycopg.Error):
        return _of_psycopg(cause)
    return Permanent(f"database: {_first_line(cause)}")


def translated_commit(error: Exception) -> TradewindsError:
    """What `error` of a COMMIT means: unless Postgres said that it rolled back, it may have kept everything."""
    cause = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
    if isinstance(cause, psycopg.Error) and (cause.sqlstate or "")[:2] in _ROLLED_BACK_CLASSES:
        return _of_psycopg(cause)
    return OutcomeUnknown(f"the answer to COMMIT was lost: {_first_line(cause)}")


def _of_psycopg(error: psycopg.Error) -> TradewindsError:
    state = error.sqlstate or ""
    message = error.diag.message_primary or _first_line(error)
    if state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES:
        return Transient(f"database: {message}")
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Transient(f"database: {message}")
    constraint = error.diag.constraint_name
    return Permanent(f"database: {message}" + (f" [{constraint}]" if constraint else ""))


def _first_line(error: BaseException) -> str:
    # The lines after the first may show values of the row.
    return (str(error).splitlines() or [type(error).__name__])[0]
