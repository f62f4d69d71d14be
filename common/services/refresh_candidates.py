"""maintenance.candidates: judges and ranks a venue's instruments anew, and tells which prices are in doubt."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np

from common.domain import features
from common.domain.candidates import (
    FROM_EXAMINATION,
    FROM_FIGURES,
    Candidate,
    CandidateLimits,
    Cause,
    Examined,
    Exclusion,
    Figures,
    first_objection,
    ranked,
)
from common.domain.errors import Transient
from common.domain.market import EPOCH, Instrument, Timeframe
from common.domain.money import ZERO
from common.domain.sources import Coin, PriceFinding, coin_of, coins_by_symbol, deviation_bps
from common.domain.strategies.opportunity import SCORED, opportunity_score
from common.ports.sources import MarketFigures
from common.services.alerts import tell
from common.services.download_candles import AT_ONCE, Download, download_candles, missing_candles
from common.services.fleet import Fleet

log = logging.getLogger(__name__)

FRAME = Timeframe.parse("1h")
DAY_BARS = 24
COINS_FRESH = timedelta(hours=3)
FINDINGS_KEPT = timedelta(days=30)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh came to."""

    venue: str
    judged: int
    passed: int
    pool: tuple[str, ...]
    in_doubt: tuple[PriceFinding, ...]


def refresh_candidates(fleet: Fleet, venue: str) -> Refreshed:
    """Judge every instrument of `venue`, rank what passes, and keep both; safe to repeat.

    The cheap filters read what one or two requests tell of all instruments; only the largest of what passes them is
    examined further, several at once: hourly candles and open interest. Prices that deviate wildly from the
    aggregator's are kept as findings, told to the operator and no candidates.
    """
    limits, now = fleet.policy.candidates, fleet.clock.now()
    door = fleet.figures.get(venue)
    known = {} if door is None else {item.symbol: item for item in door.figures()}
    with fleet.store.unit_of_work(None) as uow:
        listed = uow.instruments.list(venue)
        coins = coins_by_symbol(uow.coins.since(now - COINS_FRESH))
    items = [_compared(item, known.get(item.symbol), coins) for item in listed]
    objections = {item.instrument.symbol: first_objection(item, limits, FROM_FIGURES) for item in items}
    findings = _findings(venue, items, coins, limits, now)
    passed = sorted((i for i in items if objections[i.instrument.symbol] is None), key=_turnover, reverse=True)
    for item in passed[limits.examined_max :]:
        place = Decimal(passed.index(item) + 1)
        most = Decimal(limits.examined_max)
        objections[item.instrument.symbol] = Exclusion(Cause.NOT_EXAMINED, place, most, "place by turnover")
    examined = _examine(fleet, venue, passed[: limits.examined_max], door)
    objections |= {item.instrument.symbol: first_objection(item, limits, FROM_EXAMINATION) for item in examined}
    fit = [item for item in examined if objections[item.instrument.symbol] is None]
    chosen = ranked(fit, limits)
    seen = {item.instrument.symbol: item for item in [*items, *examined]}
    candidates = [_candidate(item, chosen, objections[symbol], now) for symbol, item in seen.items()]
    _keep(fleet, venue, candidates, findings, now)
    return Refreshed(venue, len(items), len(fit), tuple(chosen), tuple(findings))


def _compared(instrument: Instrument, figures: Figures | None, coins: Mapping[str, Coin]) -> Examined:
    coin = coin_of(instrument, coins)
    last = figures.last if figures else None
    if coin is None:
        return Examined(instrument, figures)
    deviation = deviation_bps(last, coin.price) if last else None
    return Examined(instrument, figures, deviation, coin.market_cap)


def _findings(
    venue: str, items: Sequence[Examined], coins: Mapping[str, Coin], limits: CandidateLimits, now: datetime
) -> list[PriceFinding]:
    found: list[PriceFinding] = []
    for item in items:
        coin, last = coin_of(item.instrument, coins), item.figures.last if item.figures else None
        deviation = item.deviation_bps
        if coin is not None and last and deviation is not None and deviation > limits.deviation_bps_max:
            symbol = item.instrument.symbol
            found.append(PriceFinding(venue, symbol, coin.source, last, coin.price, deviation, now))
    return found


def _turnover(item: Examined) -> Decimal:
    return item.figures.turnover if item.figures and item.figures.turnover is not None else ZERO


def _examine(fleet: Fleet, venue: str, items: Sequence[Examined], door: MarketFigures | None) -> list[Examined]:
    """`items` with age, volatility and score by their hourly candles, and with their open interest."""
    if not items:
        return []
    until = FRAME.floor(fleet.clock.now())
    history = max(features.history(SCORED), DAY_BARS + 1)
    symbols = [item.instrument.symbol for item in items]
    download = Download(venue, symbols, FRAME, until - FRAME.duration * history, until)
    try:
        download_candles(fleet, download, missing_candles(fleet, download))
    except Transient as error:
        # What is stored is older by an hour or so: good enough to rank by until the next refresh.
        log.warning("candidates of %s are ranked by the candles there are: %s", venue, error)
    with fleet.store.unit_of_work(None) as uow:
        series = uow.candles.arrays(venue, symbols, FRAME, until, history)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        held = list(pool.map(lambda item: _open_interest(item, door), items))
    return [
        replace(_with_candles(item, series[item.instrument.symbol], until), open_interest=interest)
        for item, interest in zip(items, held, strict=True)
    ]


def _open_interest(item: Examined, door: MarketFigures | None) -> Decimal | None:
    last = item.figures.last if item.figures else None
    return None if door is None or last is None else door.open_interest(item.instrument, last)


def _with_candles(item: Examined, columns: features.Columns, until: datetime) -> Examined:
    if not len(columns):
        return item
    first = EPOCH + int(columns.opened_at[0]) * _MS
    day = columns.slice(max(0, len(columns) - DAY_BARS), len(columns))
    score = opportunity_score(features.compute(SCORED, columns), columns)[-1]
    return replace(
        item,
        age=until - first,
        day_range=Decimal(repr(float(np.max(day.high) / np.min(day.low) - 1.0))),
        score=Decimal(repr(round(float(score), 6))),
    )


def _candidate(item: Examined, chosen: Sequence[str], excluded: Exclusion | None, now: datetime) -> Candidate:
    symbol = item.instrument.symbol
    return Candidate(
        venue=item.instrument.venue,
        symbol=symbol,
        rank=chosen.index(symbol) + 1 if symbol in chosen else None,
        excluded=excluded,
        score=item.score,
        open_interest=item.open_interest,
        turnover=item.figures.turnover if item.figures else None,
        market_cap=item.market_cap,
        refreshed_at=now,
    )


def _keep(
    fleet: Fleet, venue: str, candidates: Sequence[Candidate], findings: Sequence[PriceFinding], now: datetime
) -> None:
    with fleet.store.unit_of_work(None) as uow:
        doubted = {item.symbol for item in uow.price_findings.list(venue, now - FINDINGS_KEPT)}
        uow.candidates.replace(venue, candidates)
        for finding in findings:
            uow.price_findings.add(finding)
        uow.price_findings.delete_before(now - FINDINGS_KEPT)
        uow.commit()
    for finding in findings:
        if finding.symbol not in doubted:
            _tell(fleet, finding)


def _tell(fleet: Fleet, finding: PriceFinding) -> None:
    title = f"{finding.symbol} at {finding.venue} costs something else than elsewhere"
    body = (
        f"{finding.price} here, {finding.reference} at {finding.source}: {finding.deviation_bps:.0f} bps apart. "
        "It is no candidate until they agree."
    )
    tell(fleet, "price_in_doubt", title, body)
