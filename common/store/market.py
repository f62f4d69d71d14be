"""What all tenants share: instruments, candles, signals and advice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import numpy.typing as npt
from sqlalchemy import Select, select

from common.domain.advice import Advice
from common.domain.errors import InvalidInput
from common.domain.features import Columns
from common.domain.market import Candle, Instrument, InstrumentStatus, Timeframe
from common.domain.signal import Side, Signal
from common.store import tables
from common.store.codecs import ADVICE, INSTRUMENT, SIGNAL
from common.store.session import Session, array_text, matching, quoted_array

_INSTRUMENTS = "SELECT * FROM instruments WHERE venue = :venue AND symbol = ANY (CAST(:symbols AS text[]))"

_TRADED = """
    SELECT symbol FROM instruments
    WHERE venue = :venue AND symbol = ANY (CAST(:symbols AS text[])) AND status = :status
"""

_SAVE_CANDLES = """
    INSERT INTO candles AS kept (venue, symbol, timeframe, opened_at, open, high, low, close, volume)
    SELECT :venue, fresh.* FROM unnest(
        CAST(:symbols AS text[]), CAST(:timeframes AS text[]), CAST(:opened AS timestamptz[]), CAST(:opens AS numeric[]),
        CAST(:highs AS numeric[]), CAST(:lows AS numeric[]), CAST(:closes AS numeric[]), CAST(:volumes AS numeric[])
    ) AS fresh
    ON CONFLICT (venue, symbol, timeframe, opened_at) DO UPDATE SET
        open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume
    WHERE (kept.open, kept.high, kept.low, kept.close, kept.volume)
        IS DISTINCT FROM (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume)
"""

_SERIES = """
    SELECT opened_at, open, high, low, close, volume FROM candles
    WHERE venue = :venue AND symbol = :symbol AND timeframe = :timeframe AND opened_at <= :last
    ORDER BY opened_at DESC LIMIT :limit
"""

# One value a symbol, ready to be read as numbers: no digit is parsed here or there.
_ARRAYS = """
    SELECT wanted.symbol, latest.packed
    FROM unnest(%(symbols)s::text[]) AS wanted (symbol)
    CROSS JOIN LATERAL (
        SELECT string_agg(newest.packed, ''::bytea) AS packed FROM (
            SELECT packed FROM candles
            WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = %(timeframe)s AND opened_at <= %(last)s
            ORDER BY opened_at DESC LIMIT %(limit)s
        ) AS newest
    ) AS latest
"""

_ROWS_AT_ONCE = 10_000
"""Candles in one statement: it must end well within the time a statement is given."""

_PRICES = ("open", "high", "low", "close", "volume")
_PACKED = np.dtype([("opened_at", ">i8"), *((name, ">f8") for name in _PRICES)])
_MS_TO_2000 = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1000

_KEPT = """
    SELECT venue, symbol, timeframe, count(*) AS candles, min(opened_at) AS first, max(opened_at) AS last
    FROM candles GROUP BY venue, symbol, timeframe ORDER BY venue, timeframe, symbol
"""

# One look-up per symbol, whatever the planner knows of how many there are.
_ENDS = """
    SELECT symbol, (
        SELECT {end} FROM candle_series AS series
        WHERE series.venue = :venue AND series.symbol = instruments.symbol AND series.timeframe = :timeframe
    ) AS opened_at
    FROM instruments
    WHERE venue = :venue AND (CAST(:symbols AS text[]) IS NULL OR symbol = ANY (CAST(:symbols AS text[])))
"""
_LAST_CLOSED, _FIRST_OPENED = _ENDS.format(end="last_opened_at"), _ENDS.format(end="first_opened_at")

# What nobody has asked for yet is a few rows a symbol; what begins anew is as many before `since` as it wants besides.
_TOLD = """
    SELECT wanted.place, coalesce((
        SELECT series.revision FROM candle_series AS series
        WHERE series.venue = %(venue)s AND series.symbol = wanted.symbol AND series.timeframe = %(timeframe)s
    ), 0), told.packed
    FROM unnest(%(symbols)s::text[], %(since)s::bigint[], %(before)s::integer[])
        WITH ORDINALITY AS asked (symbol, since_ms, before, place)
    CROSS JOIN LATERAL (
        SELECT asked.*, timestamptz 'epoch' + asked.since_ms * interval '1 millisecond' AS since) AS wanted
    CROSS JOIN LATERAL (
        SELECT string_agg(part.packed, ''::bytea) AS packed FROM (
            SELECT packed FROM candles
            WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = %(timeframe)s
                AND opened_at >= wanted.since AND opened_at <= %(last)s
            UNION ALL (
                SELECT packed FROM candles
                WHERE venue = %(venue)s AND symbol = wanted.symbol AND timeframe = %(timeframe)s
                    AND opened_at < wanted.since AND opened_at <= %(last)s
                ORDER BY opened_at DESC LIMIT wanted.before)
        ) AS part
    ) AS told
    ORDER BY wanted.place
"""


# A signal raised at the candle's close or later may have had it in its past.
_REVISIONS = """
    SELECT venue, symbol, timeframe, opened_at, revised_at, open, high, low, close, volume, (
        SELECT count(*) FROM signals
        WHERE signals.venue = r.venue AND signals.instrument = r.symbol AND signals.timeframe = r.timeframe
            AND signals.closed_at > r.opened_at) AS signals
    FROM candle_revisions AS r WHERE CAST(:venue AS text) IS NULL OR venue = :venue
    ORDER BY revised_at DESC, venue, symbol, timeframe, opened_at
"""


@dataclass(frozen=True, slots=True)
class Revision:
    """A candle as it was until `revised_at` (wall clock); `signals` were raised on this series since it closed."""

    venue: str
    symbol: str
    timeframe: Timeframe
    before: Candle
    revised_at: datetime
    signals: int


@dataclass(frozen=True, slots=True)
class Told:
    """Candles of several symbols one after the other, each oldest first: of symbol number i from `bounds[i]` to the next.

    Of each the `revision` of its series: as long as it is the same, candles told before are still what they were.
    """

    columns: Columns
    bounds: npt.NDArray[np.int64]
    revisions: tuple[int, ...]

    def of(self, place: int) -> Columns:
        """The candles of symbol number `place`, without copying."""
        return self.columns.slice(int(self.bounds[place]), int(self.bounds[place + 1]))


class Instruments:
    """Every instrument of every venue, as last seen."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def save(self, instruments: Sequence[Instrument]) -> None:
        """Keep `instruments`, replacing what was known of them."""
        for instrument in sorted(instruments, key=lambda item: (item.venue, item.symbol)):
            self._session.put(tables.instruments, INSTRUMENT.row(instrument))

    def get(self, venue: str, symbol: str) -> Instrument | None:
        """The instrument, if known."""
        wanted = {"venue": venue, "symbol": symbol}
        row = self._session.first(matching(tables.instruments, *wanted), wanted)
        return INSTRUMENT.value(row) if row else None

    def traded(self, venue: str, symbols: Iterable[str]) -> set[str]:
        """Those of `symbols` that are known and can be traded now."""
        parameters = {"venue": venue, "symbols": quoted_array(symbols), "status": InstrumentStatus.TRADING.value}
        return {row.symbol for row in self._session.all(_TRADED, parameters)}

    def some(self, venue: str, symbols: Iterable[str]) -> dict[str, Instrument]:
        """Those of `symbols` that are known, by symbol."""
        rows = self._session.all(_INSTRUMENTS, {"venue": venue, "symbols": quoted_array(symbols)})
        return {row.symbol: INSTRUMENT.value(row) for row in rows}

    def list(self, venue: str) -> list[Instrument]:
        """All instruments of `venue` by symbol."""
        table = tables.instruments
        rows = self._session.all(select(table).where(table.c.venue == venue).order_by(table.c.symbol))
        return [INSTRUMENT.value(row) for row in rows]


class Candles:
    """Closed candles, revised in place when a venue corrects one; what it was before is kept beside them."""

    def __init__(self, session: Session, months: set[tuple[int, int]]) -> None:
        self._session = session
        self._months = months
        self.prepared: set[tuple[int, int]] = set()
        """Months (UTC) that are there for good once this transaction commits."""

    def save(self, venue: str, symbol: str, timeframe: str | Timeframe, candles: Sequence[Candle]) -> int:
        """Keep `candles`; returns how many were new or differed from what was kept."""
        return self.save_all(venue, {(symbol, _timeframe(timeframe)): candles})

    def save_all(self, venue: str, markets: Mapping[tuple[str, Timeframe], Sequence[Candle]]) -> int:
        """Keep the candles of several (symbol, timeframe) at once; returns how many were new or differed."""
        rows: list[tuple[str, Timeframe, Candle]] = []
        # Always in one order, so that two writers of the same candles wait for each other and never in a circle.
        for (symbol, timeframe), candles in sorted(markets.items()):
            unique = {candle.opened_at: candle for candle in candles}
            rows += ((symbol, timeframe, unique[opened_at]) for opened_at in sorted(unique))
        for _, timeframe, candle in rows:
            if candle.closed_at - candle.opened_at != timeframe.duration:
                raise InvalidInput("candle.closed_at", candle.closed_at.isoformat(), f"{timeframe} after opened_at")
        self._prepare(candle for _, _, candle in rows)
        starts = range(0, len(rows), _ROWS_AT_ONCE)
        return sum(self._save(venue, rows[start : start + _ROWS_AT_ONCE]) for start in starts)

    def _save(self, venue: str, rows: Sequence[tuple[str, Timeframe, Candle]]) -> int:
        symbols, timeframes, candles = zip(*rows, strict=True)
        return self._session.changed(
            _SAVE_CANDLES,
            {
                "venue": venue,
                "symbols": quoted_array(symbols),
                "timeframes": array_text(timeframes),
                "opened": array_text(candle.opened_at.isoformat() for candle in candles),
                "opens": array_text(candle.open for candle in candles),
                "highs": array_text(candle.high for candle in candles),
                "lows": array_text(candle.low for candle in candles),
                "closes": array_text(candle.close for candle in candles),
                "volumes": array_text(candle.volume for candle in candles),
            },
        )

    def _prepare(self, candles: Iterable[Candle]) -> None:
        utc = (candle.opened_at.astimezone(UTC) for candle in candles)
        missing = {(instant.year, instant.month) for instant in utc} - self._months - self.prepared
        for year, month in sorted(missing):
            self._session.execute("SELECT add_candle_month(:month)", {"month": datetime(year, month, 1, tzinfo=UTC)})
        self.prepared |= missing

    def series(self, venue: str, symbol: str, timeframe: str | Timeframe, until: datetime, limit: int) -> list[Candle]:
        """The last `limit` candles that had closed at `until`, oldest first."""
        duration = _timeframe(timeframe).duration
        parameters = {
            "venue": venue,
            "symbol": symbol,
            "timeframe": str(timeframe),
            "last": until - duration,
            "limit": limit,
        }
        rows = self._session.all(_SERIES, parameters)
        return [_candle(row.opened_at, duration, *row[1:]) for row in reversed(rows)]

    def arrays(
        self, venue: str, symbols: Sequence[str], timeframe: str | Timeframe, until: datetime, limit: int
    ) -> dict[str, Columns]:
        """As `series` for each of `symbols`, as columns of floats; a symbol without candles has empty columns."""
        length = _timeframe(timeframe)
        parameters = {
            "venue": venue,
            "symbols": list(symbols),
            "timeframe": str(timeframe),
            "last": until - length.duration,
            "limit": limit,
        }
        rows = self._session.binary(_ARRAYS, parameters)
        return {symbol: _columns(length, packed or b"") for symbol, packed in rows}

    def told(
        self,
        venue: str,
        wanted: Sequence[tuple[str, int, int]],
        timeframe: Timeframe,
        until: datetime,
    ) -> Told:
        """Of every wanted (symbol, since, before): candles opened at `since` (ms since 1970 UTC) or later that had closed
        at `until`, and so many as `before` says that opened before them; all of one moment.
        """
        parameters = {
            "venue": venue,
            "symbols": quoted_array(symbol for symbol, _, _ in wanted),
            "since": array_text(since for _, since, _ in wanted),
            "before": array_text(before for _, _, before in wanted),
            "timeframe": str(timeframe),
            "last": until - timeframe.duration,
        }
        rows = self._session.binary(_TOLD, parameters)
        counts = np.array([len(packed or b"") // _PACKED.itemsize for _, _, packed in rows], dtype=np.int64)
        columns = _columns(timeframe, b"".join(packed or b"" for _, _, packed in rows), counts)
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return Told(columns, bounds, tuple(revision for _, revision, _ in rows))

    def last_closed_at(
        self, venue: str, timeframe: str | Timeframe, symbols: Sequence[str] | None = None
    ) -> dict[str, datetime]:
        """When the newest candle of each known instrument (or of `symbols`) closed; those without candles are left out."""
        rows = self._session.all(_LAST_CLOSED, _of(venue, timeframe, symbols))
        duration = _timeframe(timeframe).duration
        return {row.symbol: row.opened_at + duration for row in rows if row.opened_at is not None}

    def first_opened_at(
        self, venue: str, timeframe: str | Timeframe, symbols: Sequence[str] | None = None
    ) -> dict[str, datetime]:
        """When the oldest candle of each known instrument (or of `symbols`) opened; those without candles are left out."""
        rows = self._session.all(_FIRST_OPENED, _of(venue, timeframe, symbols))
        return {row.symbol: row.opened_at for row in rows if row.opened_at is not None}

    def kept(self) -> list[tuple[str, str, str, int, datetime, datetime]]:
        """Every series: (venue, symbol, timeframe, candles, opening of the first, opening of the last)."""
        return [tuple(row) for row in self._session.all(_KEPT)]

    def revisions(self, venue: str | None = None) -> list[Revision]:
        """What revised candles were before, the newest revisions first; each with the signals raised since it closed."""
        return [
            Revision(
                row.venue,
                row.symbol,
                Timeframe.parse(row.timeframe),
                _candle(row.opened_at, Timeframe.parse(row.timeframe).duration, *row[5:10]),
                row.revised_at,
                row.signals,
            )
            for row in self._session.all(_REVISIONS, {"venue": venue})
        ]

    def delete_before(self, timeframe: str | Timeframe, cutoff: datetime) -> int:
        """Forget candles of `timeframe` that opened before `cutoff`; returns how many."""
        return self._session.changed(
            "DELETE FROM candles WHERE timeframe = :timeframe AND opened_at < :cutoff",
            {"timeframe": str(timeframe), "cutoff": cutoff},
        )


def _timeframe(timeframe: str | Timeframe) -> Timeframe:
    return timeframe if isinstance(timeframe, Timeframe) else Timeframe.parse(timeframe)


def _of(venue: str, timeframe: str | Timeframe, symbols: Sequence[str] | None) -> dict[str, object]:
    return {"venue": venue, "timeframe": str(timeframe), "symbols": None if symbols is None else quoted_array(symbols)}


def _candle(opened_at: datetime, duration: timedelta, *values: object) -> Candle:
    return Candle(opened_at, opened_at + duration, *values)  # type: ignore[arg-type]


def _columns(timeframe: Timeframe, packed: bytes, counts: npt.NDArray[np.int64] | None = None) -> Columns:
    """Columns of packed candles, oldest first; of `counts` several series one after the other, each oldest first."""
    rows = np.frombuffer(packed, dtype=_PACKED)
    opened_at = rows["opened_at"].astype(np.int64) // 1000 + _MS_TO_2000
    series = 0 * opened_at if counts is None else np.repeat(np.arange(counts.size), counts)
    oldest_first = np.lexsort((opened_at, series))
    open_, high, low, close, volume = (rows[name].astype(np.float64)[oldest_first] for name in _PRICES)
    return Columns(opened_at[oldest_first], open_, high, low, close, volume, timeframe)


class Signals:
    """Every signal ever raised."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, signal: Signal) -> bool:
        """Keep `signal`; False when it was known."""
        return self._session.add_once(tables.signals, SIGNAL.row(signal))

    def add_all(self, signals: Sequence[Signal]) -> list[Signal]:
        """Keep `signals`; returns those that were not known."""
        new = self._session.add_all_once(
            tables.signals, [SIGNAL.row(signal) for signal in signals], tables.signals.c.id
        )
        return [signal for signal in signals if signal.id in new]

    def get(self, signal_id: UUID) -> Signal | None:
        """The signal, if there is one."""
        row = self._session.first(matching(tables.signals, "id"), {"id": signal_id})
        return SIGNAL.value(row) if row else None

    def list(
        self,
        *,
        venue: str | None = None,
        instrument: str | None = None,
        strategy: str | None = None,
        before: datetime | None = None,
        limit: int = 50,
    ) -> list[Signal]:
        """The newest signals first, those that closed before `before`."""
        table = tables.signals
        statement: Select[tuple[object, ...]] = (
            select(table).order_by(table.c.closed_at.desc(), table.c.id).limit(limit)
        )
        for column, wanted in ((table.c.venue, venue), (table.c.instrument, instrument), (table.c.strategy, strategy)):
            if wanted is not None:
                statement = statement.where(column == wanted)
        if before is not None:
            statement = statement.where(table.c.closed_at < before)
        return [SIGNAL.value(row) for row in self._session.all(statement)]


_FIRST_LEAVING = """
    SELECT min(closed_at) FROM leavings
    WHERE venue = :venue AND instrument = :instrument AND strategy = :strategy AND digest = :digest AND side = :side
        AND closed_at > :opened_at
"""


class Leavings:
    """When strategies said that positions of theirs should be left; shared by everybody who holds one."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self, venue: str, instrument: str, strategy: str, side: Side, closed_at: datetime, *, digest: str = ""
    ) -> bool:
        """Keep that positions of `side` should be left after the candle that closed at `closed_at`; False when known.

        It is said to those only that were opened with the parameters of `digest`.
        """
        return bool(self.add_all(venue, [(instrument, strategy, digest, side)], closed_at))

    def add_all(self, venue: str, said: Sequence[tuple[str, str, str, Side]], closed_at: datetime) -> int:
        """As `add` for several (instrument, strategy, digest, side); returns how many were not known."""
        rows = [
            {"venue": venue, "instrument": instrument, "strategy": strategy, "digest": digest, "side": side.value}
            | {"closed_at": closed_at}
            for instrument, strategy, digest, side in said
        ]
        return len(self._session.add_all_once(tables.leavings, rows, tables.leavings.c.instrument))

    def since(
        self, venue: str, instrument: str, strategy: str, side: Side, opened_at: datetime, *, digest: str = ""
    ) -> datetime | None:
        """When the strategy with those parameters first said so after `opened_at`; None when it has not."""
        of = {"venue": venue, "instrument": instrument, "strategy": strategy, "digest": digest, "side": side.value}
        first: datetime | None = self._session.scalar(_FIRST_LEAVING, of | {"opened_at": opened_at})
        return first


class AdviceGiven:
    """Every answer of every model."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, advice: Advice) -> bool:
        """Keep `advice`; False when this question was answered before."""
        return self._session.add_once(tables.advice, ADVICE.row(advice))

    def get(self, advice_id: UUID) -> Advice | None:
        """The advice, if there is one."""
        row = self._session.first(matching(tables.advice, "id"), {"id": advice_id})
        return ADVICE.value(row) if row else None

    def of_signal(self, signal_id: UUID) -> list[Advice]:
        """What every asked profile said about the signal."""
        rows = self._session.all(matching(tables.advice, "signal_id", order=("profile",)), {"signal_id": signal_id})
        return [ADVICE.value(row) for row in rows]

    def of_profile(self, profile: str) -> list[Advice]:
        """Everything that `profile` ever said, oldest first."""
        table = tables.advice
        rows = self._session.all(
            select(table).where(table.c.profile == profile).order_by(table.c.occurred_at, table.c.id)
        )
        return [ADVICE.value(row) for row in rows]

    def profiles(self) -> list[str]:
        """The profiles that were ever asked."""
        table = tables.advice
        return [row.profile for row in self._session.all(select(table.c.profile).distinct().order_by(table.c.profile))]
