"""What markets looked like at the close of candles: written once, or found missing once, and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from common.domain.features import Columns
from common.domain.indicators.series import Series
from common.domain.snapshot import FIELDS, MarketSnapshot
from common.store.session import Session

_NAMES = ("venue", "symbol", "closed_at", "observed_at", *FIELDS)

_SAVE = f"""
    INSERT INTO market_snapshots ({", ".join(_NAMES)})
    SELECT * FROM unnest(CAST(:venue AS text[]), CAST(:symbol AS text[]), CAST(:closed_at AS timestamptz[]),
        CAST(:observed_at AS timestamptz[]), {", ".join(f"CAST(:{name} AS numeric[])" for name in FIELDS)})
    ON CONFLICT DO NOTHING
"""

_SEAL = """
    INSERT INTO market_snapshots (venue, symbol, closed_at)
    SELECT :venue, symbol, :closed_at FROM unnest(CAST(:symbols AS text[])) AS symbol
    ON CONFLICT DO NOTHING
"""

# One value a symbol and field, ready to be read as numbers, as candles are.
_SERIES = """
    SELECT symbol, string_agg(
        int8send((extract(epoch FROM closed_at) * 1000)::bigint) || {packed}, ''::bytea ORDER BY closed_at)
    FROM market_snapshots
    WHERE venue = %(venue)s AND symbol = ANY (%(symbols)s::text[]) AND observed_at IS NOT NULL
        AND closed_at >= %(since)s AND closed_at <= %(until)s
    GROUP BY symbol
"""

_KEPT = """
    SELECT venue, symbol, count(observed_at) AS snapshots, count(*) - count(observed_at) AS missing,
        min(closed_at) AS first, max(closed_at) AS last, count(imbalance) AS books, count(tape_vwap) AS tapes,
        count(mark) AS marks, count(open_interest) AS open_interests
    FROM market_snapshots GROUP BY venue, symbol ORDER BY venue, symbol
"""


class Snapshots:
    """Market snapshots of every venue, and the closes of which it is settled that there is none."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, snapshots: Sequence[MarketSnapshot]) -> int:
        """Keep `snapshots`; returns how many. Those of closes that were settled before are not kept.

        A close is settled by its first snapshot, and by the first scan that looked for one in vain: what a scan has
        not seen must not be there when its answer is replayed.
        """
        if not snapshots:
            return 0
        self._prepare({item.closed_at for item in snapshots})
        ordered = sorted(snapshots, key=lambda item: (item.venue, item.symbol, item.closed_at))
        return self._session.changed(_SAVE, {name: [getattr(item, name) for item in ordered] for name in _NAMES})

    def settle(self, venue: str, symbols: Sequence[str], closed_at: datetime) -> int:
        """From now on those of `symbols` without a snapshot of `closed_at` have none; returns how many these are.

        Waits for a writer that is at it, so that either its snapshots are seen or it finds the close settled.
        """
        self._prepare({closed_at})
        wanted = {"venue": venue, "symbols": sorted(symbols), "closed_at": closed_at}
        return self._session.changed(_SEAL, wanted)

    def series(
        self, venue: str, candles: Mapping[str, Columns], names: Sequence[str]
    ) -> dict[str, Mapping[str, Series]]:
        """Fields `names` of the snapshots at the closes of `candles` by symbol, NaN where there is none.

        Symbols without candles have empty series.
        """
        spans = [columns for columns in candles.values() if len(columns)]
        found: dict[str, bytes] = {}
        if spans and names:
            packed = " || ".join(f"float8send(coalesce({name}, 'NaN')::double precision)" for name in names)
            parameters = {
                "venue": venue,
                "symbols": list(candles),
                "since": _instant(min(int(columns.opened_at[0]) for columns in spans)),
                "until": _instant(max(int(c.opened_at[-1]) + c.timeframe.seconds * 1000 for c in spans)),
            }
            found = dict(self._session.binary(_SERIES.format(packed=packed), parameters))
        return {symbol: _aligned(columns, found.get(symbol, b""), names) for symbol, columns in candles.items()}

    def kept(self) -> list[tuple[str, str, int, int, datetime, datetime, int, int, int, int]]:
        """Of every market: venue, symbol, snapshots, closes without one, first, last, and how many tell what.

        What they tell: book, tape, mark, open interest.
        """
        return [tuple(row) for row in self._session.all(_KEPT)]

    def _prepare(self, closes: set[datetime]) -> None:
        utc = (instant.astimezone(UTC) for instant in closes)
        for year, month in sorted({(instant.year, instant.month) for instant in utc}):
            self._session.execute("SELECT add_snapshot_month(:month)", {"month": datetime(year, month, 1, tzinfo=UTC)})


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _aligned(columns: Columns, packed: bytes, names: Sequence[str]) -> Mapping[str, Series]:
    rows = np.frombuffer(packed, dtype=np.dtype([("closed_at", ">i8"), *((name, ">f8") for name in names)]))
    closes = columns.opened_at + columns.timeframe.seconds * 1000
    place = np.searchsorted(rows["closed_at"], closes)
    there = place < rows.size
    there[there] = rows["closed_at"][place[there]] == closes[there]
    known = {}
    for name in names:
        series = np.full(len(columns), np.nan)
        series[there] = rows[name][place[there]]
        known[name] = series
    return known
