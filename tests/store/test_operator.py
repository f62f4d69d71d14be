"""The operator's view: what the whole fleet did, and the story of any part of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from common.domain.decision import DecisionOutcome
from common.domain.job import Stage
from common.domain.order import OrderStatus
from common.store import MissingOutcome, TenantProfit
from tests.clocks import NOON
from tests.store.world import (
    SYMBOL,
    TIMEFRAME,
    VENUE,
    World,
    advice,
    closed,
    decision,
    entry,
    fill,
    furnish,
    identity,
    position,
    signal,
    stop,
    subscription,
)

LATER = NOON + timedelta(days=1)


@pytest.fixture
def told(world: World) -> World:
    """A world in which a signal was raised, confirmed, refused by them and traded by us."""
    with world.store.unit_of_work(None) as uow:
        uow.signals.add(signal())
        uow.signals.add(signal(1))
        uow.advice.add(advice())
        uow.jobs.add(
            Stage.CONFIRM, f"confirm:{signal().id}", tenant_id=None, payload={}, now=NOON, correlation_id=signal().id
        )
        uow.commit()
    furnish(world, world.ours)
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.orders.add(stop(world.ours))
        uow.commit()
    with world.store.unit_of_work(world.theirs.id) as uow:
        uow.decisions.add(decision(world.theirs))
        uow.positions.add(closed(world.theirs, 1, 90, NOON))
        uow.commit()
    return world


def test_the_counts_add_up_over_all_tenants(told: World) -> None:
    with told.store.operator() as view:
        counts = view.counts()
    assert (counts.signals, counts.advice, counts.tenants) == (2, {"confirm": 1}, 2)
    assert (counts.verdicts, counts.vetoes) == ({"vetoed": 2}, {"notional_exceeds_limit": 2})
    assert (counts.orders, counts.fills) == ({"intended": 2}, 1)
    assert (counts.positions_opened, counts.positions_closed) == (2, 1)
    assert counts.jobs == {"pending": 2}


def test_an_empty_fleet_has_done_nothing(world: World) -> None:
    with world.store.operator() as view:
        counts = view.counts()
    assert (counts.signals, counts.advice, counts.orders, counts.jobs) == (0, {}, {}, {})


def test_lists_hold_every_tenant_or_one(told: World) -> None:
    ours, theirs = told.ours, told.theirs
    with told.store.operator() as view:
        assert {item.tenant_id for item in view.decisions()} == {ours.id, theirs.id}
        assert view.decisions(theirs.id) == [decision(theirs)]
        assert view.decisions(outcome=DecisionOutcome.APPROVED) == []
        assert view.orders(ours.id) == [stop(ours), entry(ours)]
        assert view.orders(limit=1) == [stop(ours)]
        assert view.orders(status=OrderStatus.FILLED) == []
        assert view.positions(None, 10, open_only=True) == [position(ours)]
        assert len(view.positions()) == 2
        assert view.fills() == [fill(ours)]
        assert view.fills(theirs.id) == []
        assert [point.equity for point in view.equity(ours.id)] == [Decimal(10100)]
        assert view.subscriptions(ours.id) == [subscription(ours)]
        assert [account.tenant_id for account in view.accounts(theirs.id)] == [theirs.id]
        assert [item.symbol for item in view.instruments(VENUE)] == [SYMBOL]
        assert view.signals(1) == [signal(1)]
        assert {depth.stage for depth in view.depths(LATER)} == {Stage.CONFIRM, Stage.PLACE}
        assert len(view.jobs()) == 2


def test_profits_are_told_by_tenant(told: World) -> None:
    with told.store.operator() as view:
        profits = view.tenant_profits()
    ours, theirs = told.ours.tenant, told.theirs.tenant
    assert profits == [
        TenantProfit(ours.id, "ours", ours.state, Decimal(10100), Decimal(0), Decimal(10), 1),
        TenantProfit(theirs.id, "theirs", theirs.state, Decimal(0), Decimal(90), Decimal(10), 0),
    ]


def test_accounts_are_shown_with_their_last_balance(told: World) -> None:
    with told.store.operator() as view:
        ours, theirs = view.venue_accounts()
    assert (ours.tenant, ours.account) == ("ours", told.ours.account)
    assert (ours.equity, ours.wallet) == (Decimal(10100), Decimal(10000))
    assert (theirs.tenant, theirs.equity, theirs.is_live) == ("theirs", None, False)


@pytest.mark.parametrize("asked_by", ["signal", "decision", "order", "position", "advice", "client order id", "job"])
def test_the_trail_is_the_same_from_wherever_it_is_asked(told: World, asked_by: str) -> None:
    with told.store.operator() as view:
        names = {
            "signal": signal().id,
            "decision": decision(told.ours).id,
            "order": entry(told.ours).id,
            "position": position(told.ours).id,
            "advice": advice().id,
            "client order id": entry(told.ours).intent.client_order_id,
            "job": view.jobs()[0].id,
        }
        trail = view.trail(names[asked_by])
    assert trail is not None
    assert trail["signals"] == [signal()]
    assert trail["advice"] == [advice()]
    assert {item.tenant_id for item in trail["decisions"]} == {told.ours.id, told.theirs.id}
    assert trail["orders"] == [entry(told.ours), stop(told.ours)]
    assert trail["fills"] == [fill(told.ours)]
    assert trail["positions"] == [position(told.ours)]
    assert {job.stage for job in trail["jobs"]} == {Stage.CONFIRM, Stage.PLACE}
    assert [link.payload for link in trail["audit"]] == [{"to": "intended"}]


@pytest.mark.parametrize("unknown", [str(identity("nothing")), "no id at all"])
def test_nothing_has_no_trail(told: World, unknown: str) -> None:
    with told.store.operator() as view:
        assert view.trail(unknown) is None


def test_who_has_no_outcome_is_named(told: World) -> None:
    with told.store.operator() as view:
        missing = view.signals_without_outcome(LATER)
    assert set(missing) == {
        MissingOutcome(signal(1).id, house.id, house.account.id) for house in (told.ours, told.theirs)
    }


@pytest.mark.parametrize(
    "change",
    [
        {"active_from": NOON + timedelta(hours=1)},
        {"active_to": signal(1).expires_at},
        {"instruments": ("ETH/USDT:USDT",)},
        {"strategy": "another"},
        {"timeframe": "1h"},
    ],
)
def test_who_was_not_subscribed_owes_no_outcome(told: World, change: dict[str, object]) -> None:
    with told.store.unit_of_work(told.ours.id) as uow:
        uow.session.execute("DELETE FROM subscriptions")
        uow.subscriptions.add(replace(subscription(told.ours), **change))
        uow.commit()
    with told.store.operator() as view:
        assert {item.tenant_id for item in view.signals_without_outcome(LATER)} == {told.theirs.id}


def test_a_signal_that_is_not_due_owes_nothing_yet(told: World) -> None:
    with told.store.operator() as view:
        assert view.signals_without_outcome(NOON) == []


def test_the_view_shows_one_instant(told: World) -> None:
    with told.store.operator() as view:
        before = view.counts()
        with told.store.unit_of_work(None) as uow:
            uow.signals.add(signal(2))
            uow.candles.save(VENUE, SYMBOL, TIMEFRAME, [])
            uow.commit()
        assert view.counts() == before
