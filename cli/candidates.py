"""`tradewinds data candidates`: which instruments are worth looking at, in which order, and why the others are not."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from cli.output import answer, table
from common.domain.candidates import Candidate
from common.domain.errors import NotFound


def show_candidates(venue: str | None, refresh: bool, as_json: bool, world: str | None) -> None:
    """The pool as it was last ranked, or as it is ranked now."""
    from cli.context import asked_fleet
    from common.services.follow_pool import follow_pool
    from common.services.list_candidates import list_candidates, list_findings, pool
    from common.services.refresh_candidates import refresh_candidates
    from common.services.refresh_sources import refresh_sources
    from common.services.ticks import each_account

    with asked_fleet(world) as fleet:
        name = venue or next(iter(fleet.market_data), None)
        if name is None:
            raise NotFound("venue", "any", ("none here: start a world with `tradewinds up`, or set TRADEWINDS_VENUES",))
        told: dict[str, str] = {}
        if refresh:
            fleet.market(name)
            told = refresh_sources(fleet)
            refresh_candidates(fleet, name)
            each_account(fleet, follow_pool)
        judged, findings = list_candidates(fleet, name), list_findings(fleet, name)
        with fleet.store.unit_of_work(None) as uow:
            chosen = pool(uow, name)
    rows = [_row(item) for item in judged]
    doubted = [
        {
            "symbol": item.symbol,
            "price": item.price,
            "reference": item.reference,
            "source": item.source,
            "deviation_bps": item.deviation_bps,
            "found_at": item.found_at,
        }
        for item in findings
    ]
    is_default = not any(item.rank for item in judged)
    result = {
        "venue": name,
        "refreshed_at": judged[0].refreshed_at if judged else None,
        "pool": chosen,
        "is_default": is_default,
        "instruments": rows,
        "price_findings": doubted,
    } | ({"sources": told} if refresh else {})

    def show(console: Console) -> None:
        columns = ["rank", "symbol", "score", "open_interest", "turnover=turnover 24 h", "market_cap", "why_not"]
        console.print(table(rows, columns))
        console.print(
            f"pool of {name}: {', '.join(chosen) or 'nothing'}"
            + (" (the majors: nothing has been ranked)" if is_default else "")
        )
        if doubted:
            console.print(table(doubted, ["symbol", "price", "reference", "source", "found_at"]))

    answer(result, as_json, show)


def _row(item: Candidate) -> dict[str, Any]:
    out = item.excluded
    return {
        "symbol": item.symbol,
        "rank": item.rank,
        "score": item.score,
        "open_interest": item.open_interest,
        "turnover": item.turnover,
        "market_cap": item.market_cap,
        "excluded": None
        if out is None
        else {"cause": out.cause, "measured": out.measured, "limit": out.limit, "unit": out.unit},
        "why_not": f"{out.cause}: {out.measured:.6g} against {out.limit:.6g} {out.unit}" if out else None,
    }
