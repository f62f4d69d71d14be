"""What survives kill -9: accounts, orders, fills, incomes and the clock, in SQLite, one transaction per change."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.account import Account
from simulator.errors import StateMismatch
from simulator.orders import AlgoOrder, Fill, Income, Order

FORMAT = "1"
TABLES = ("accounts", "orders", "algos", "fills", "income")


@dataclass(slots=True)
class Change:
    """What one operation changed and whom it concerns; kept as one transaction, told only afterwards."""

    accounts: dict[str, Account] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    income: list[Income] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.accounts or self.orders or self.algos or self.fills or self.income or self.events)


class Store:
    """The file of the venue; without a folder it lives in memory and dies with the process."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        path = ":memory:" if folder is None else str(folder / "simulator.sqlite3")
        self._db = sqlite3.connect(path, isolation_level=None)
        # WAL with NORMAL survives a killed process; only a dying machine could take the last moments.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        for table in TABLES:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} (id PRIMARY KEY, doc TEXT NOT NULL)")

    def fact(self, name: str) -> str | None:
        """A single value, or None."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def claim(self, fingerprint: str) -> None:
        """Mark the state as belonging to a market, or refuse when it belongs to another."""
        kept = self.fact("market")
        if kept is not None and (kept != fingerprint or self.fact("format") != FORMAT):
            raise StateMismatch(
                f"the --state folder belongs to market {kept!r}, not to {fingerprint!r}; "
                "start with the --market, --seed and --symbols it was made with, or name another folder"
            )
        self._db.execute("INSERT OR REPLACE INTO facts VALUES ('market', ?), ('format', ?)", (fingerprint, FORMAT))

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """All documents of a table, oldest first."""
        for (doc,) in self._db.execute(f"SELECT doc FROM {table} ORDER BY id"):
            yield json.loads(doc)

    def keep_fact(self, name: str, value: str) -> None:
        """Remember a single value."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def keep_instant(self, venue_ms: int) -> None:
        """Remember how far venue time has come."""
        self.keep_fact("venue_ms", str(venue_ms))

    def keep(self, change: Change, venue_ms: int) -> None:
        """Write one change and the instant it happened at, all or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._write("accounts", [(a.api_key, a.dump()) for a in change.accounts.values()])
            self._write("orders", [(o.order_id, o.dump()) for o in change.orders.values()])
            self._write("algos", [(a.algo_id, a.dump()) for a in change.algos.values()])
            self._write("fills", [(f.trade_id, f.dump()) for f in change.fills])
            self._write("income", [(i.tran_id, i.dump()) for i in change.income])
            self.keep_instant(venue_ms)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _write(self, table: str, rows: list[tuple[object, dict[str, Any]]]) -> None:
        if rows:
            sql = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
            self._db.executemany(sql, [(key, json.dumps(doc, separators=(",", ":"))) for key, doc in rows])

    def close(self) -> None:
        """Close the file."""
        self._db.close()
