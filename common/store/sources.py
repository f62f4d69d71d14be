"""What is known beside trading: candidates, coins, the market's mood, and prices in doubt."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from common.domain.candidates import Candidate, Cause, Exclusion
from common.domain.sources import Coin, Mood, PriceFinding
from common.store import tables
from common.store.session import AnyRow, Session


class Candidates:
    """What the last refresh of each venue made of its instruments."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def replace(self, venue: str, candidates: Sequence[Candidate]) -> None:
        """Keep `candidates` in place of all that was known of `venue`."""
        table = tables.candidates
        self._session.execute(delete(table).where(table.c.venue == venue))
        for item in sorted(candidates, key=lambda each: each.symbol):
            self._session.add(table, _row(item))

    def list(self, venue: str) -> builtins.list[Candidate]:
        """Every instrument that was judged: the pool by rank, then the others by name."""
        table = tables.candidates
        order = (table.c.rank.nulls_last(), table.c.symbol)
        rows = self._session.all(select(table).where(table.c.venue == venue).order_by(*order))
        return [_candidate(row) for row in rows]


def _row(item: Candidate) -> dict[str, object]:
    out = item.excluded
    return {
        "venue": item.venue,
        "symbol": item.symbol,
        "rank": item.rank,
        "cause": out.cause.value if out else None,
        "measured": out.measured if out else None,
        "limit": out.limit if out else None,
        "unit": out.unit if out else None,
        "score": item.score,
        "open_interest": item.open_interest,
        "turnover": item.turnover,
        "market_cap": item.market_cap,
        "refreshed_at": item.refreshed_at,
    }


def _candidate(row: AnyRow) -> Candidate:
    excluded = Exclusion(Cause(row.cause), row.measured, row.limit, row.unit) if row.cause else None
    figures = (row.score, row.open_interest, row.turnover, row.market_cap)
    return Candidate(row.venue, row.symbol, row.rank, excluded, *figures, row.refreshed_at)


class Coins:
    """Coins as each source last told them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def replace(self, source: str, coins: Sequence[Coin]) -> None:
        """Keep `coins` in place of all that `source` told before."""
        table = tables.coins
        self._session.execute(delete(table).where(table.c.source == source))
        for coin in sorted({item.coin: item for item in coins}.values(), key=lambda item: item.coin):
            self._session.add(
                table,
                {
                    "source": source,
                    "coin": coin.coin,
                    "symbol": coin.symbol,
                    "price": coin.price,
                    "market_cap": coin.market_cap,
                    "volume": coin.volume,
                    "occurred_at": coin.occurred_at,
                },
            )

    def since(self, instant: datetime) -> builtins.list[Coin]:
        """Coins told at `instant` or later, the largest first."""
        table = tables.coins
        chosen = select(table).where(table.c.occurred_at >= instant).order_by(table.c.market_cap.desc(), table.c.coin)
        return [
            Coin(row.source, row.coin, row.symbol, row.price, row.market_cap, row.volume, row.occurred_at)
            for row in self._session.all(chosen)
        ]


class Moods:
    """The fear-and-greed index by day."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, moods: Sequence[Mood]) -> None:
        """Keep `moods`, replacing what was known of their days."""
        for mood in sorted(moods, key=lambda item: item.published_at):
            row = {"published_at": mood.published_at, "value": mood.value, "label": mood.label}
            self._session.put(tables.moods, row)

    def between(self, since: datetime, until: datetime) -> builtins.list[Mood]:
        """Values published from `since` up to `until`, both included, oldest first."""
        table = tables.moods
        chosen = select(table).where(table.c.published_at >= since, table.c.published_at <= until)
        rows = self._session.all(chosen.order_by(table.c.published_at))
        return [Mood(row.published_at, row.value, row.label) for row in rows]

    def newest(self) -> Mood | None:
        """The last value there is."""
        table = tables.moods
        row = self._session.first(select(table).order_by(table.c.published_at.desc()).limit(1))
        return Mood(row.published_at, row.value, row.label) if row else None


class PriceFindings:
    """Prices that were far from an aggregator's."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, finding: PriceFinding) -> bool:
        """Keep `finding`; False when it was known."""
        return self._session.add_once(
            tables.price_findings,
            {
                "venue": finding.venue,
                "symbol": finding.symbol,
                "found_at": finding.found_at,
                "source": finding.source,
                "price": finding.price,
                "reference": finding.reference,
                "deviation_bps": finding.deviation_bps,
            },
        )

    def list(self, venue: str, since: datetime) -> builtins.list[PriceFinding]:
        """Findings at `venue` since `since`, the newest first."""
        table = tables.price_findings
        chosen = select(table).where(table.c.venue == venue, table.c.found_at >= since)
        rows = self._session.all(chosen.order_by(table.c.found_at.desc(), table.c.symbol))
        return [
            PriceFinding(r.venue, r.symbol, r.source, r.price, r.reference, r.deviation_bps, r.found_at) for r in rows
        ]

    def delete_before(self, cutoff: datetime) -> int:
        """Forget findings older than `cutoff`; returns how many."""
        return self._session.changed("DELETE FROM price_findings WHERE found_at < :cutoff", {"cutoff": cutoff})
