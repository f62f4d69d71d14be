"""Upkeep: the relay, reconciliation with venues, cash, reviews, equity snapshots, instruments and retention."""

from __future__ import annotations

from typing import Any

from common.services.fleet import Fleet
from common.services.follow_pool import follow_pool
from common.services.forget import forget
from common.services.reconcile_account import reconcile_account
from common.services.reconcile_cash import reconcile_cash
from common.services.refresh_candidates import refresh_candidates
from common.services.refresh_instruments import refresh_instruments
from common.services.refresh_sources import refresh_sources
from common.services.relay_jobs import relay_jobs
from common.services.review_positions import review_positions
from common.services.snapshot_equity import snapshot_equity
from common.services.ticks import each_account
from workers.stage import tick


@tick("maintenance.relay", "maintenance")
def relay(fleet: Fleet, **_: Any) -> None:
    """Ring again for every job that waits unclaimed."""
    relay_jobs(fleet)


@tick("maintenance.reconcile", "maintenance")
def reconcile(fleet: Fleet, **_: Any) -> None:
    """Compare every account's book with its venue's."""
    each_account(fleet, reconcile_account)


@tick("maintenance.cash", "maintenance")
def cash(fleet: Fleet, **_: Any) -> None:
    """Hold every account's wallet against our book."""
    each_account(fleet, reconcile_cash)


@tick("maintenance.review", "maintenance")
def review(fleet: Fleet, **_: Any) -> None:
    """Judge what was closed, once ten bars have passed."""
    each_account(fleet, review_positions)


@tick("maintenance.equity", "maintenance")
def equity(fleet: Fleet, **_: Any) -> None:
    """Keep a point of every equity curve."""
    each_account(fleet, snapshot_equity)


@tick("maintenance.instruments", "maintenance")
def instruments(fleet: Fleet, **_: Any) -> None:
    """Refresh grids, filters and status of every venue's instruments."""
    for venue in fleet.market_data:
        refresh_instruments(fleet, venue)


@tick("maintenance.retention", "maintenance")
def retention(fleet: Fleet, **_: Any) -> None:
    """Forget what nobody will ask for again."""
    forget(fleet)


@tick("maintenance.candidates", "maintenance")
def candidates(fleet: Fleet, **_: Any) -> None:
    """Ask the public sources, judge and rank every venue's instruments, and let subscriptions follow."""
    refresh_sources(fleet)
    for venue in fleet.market_data:
        refresh_candidates(fleet, venue)
    each_account(fleet, follow_pool)
