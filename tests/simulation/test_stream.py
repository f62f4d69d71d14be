"""The wires of the simulation lose, double and turn round what they carry, and its laws notice what is done with it."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from common.domain.order import OrderIntent, OrderRole, OrderSide, OrderStatus, OrderType
from common.domain.position import Position
from common.domain.signal import ExitPlan, Side
from common.ports.account_stream import AccountNews, GapCause
from simulation.clock import START, VirtualClock
from simulation.database import Database
from simulation.hub import Chances, Hub
from simulation.laws import Laws
from simulation.seed import run_seed
from simulation.stream import Wires
from simulation.venue import AccountDoor, VirtualVenue
from tests.bugs import BUGS
from tests.simulation.test_venue import ACCOUNT, SYMBOL, entry, open_venue


def wired(**chances: float) -> tuple[Wires, VirtualVenue, AccountDoor]:
    """A venue with one account whose wire has just been connected."""
    venue, door = open_venue()
    hub = Hub(random.Random(1), VirtualClock(), Chances(**chances))
    return Wires(hub, venue, [ACCOUNT], seed=2), venue, door


def heard(wires: Wires) -> list[AccountNews]:
    """Everything that is on its way."""
    found = []
    while (taken := wires.take()) is not None:
        found.append(taken[1])
    return found


def test_a_wire_begins_with_a_gap_and_tells_each_change_once() -> None:
    wires, _, door = wired()
    door.place(entry(), START)
    wires.notice()
    wires.notice()
    gap, fill, order = heard(wires)
    assert gap.gaps[0].cause is GapCause.CONNECTED
    assert [item.quantity for item in fill.fills] == [Decimal(1)]
    assert [item.status for item in order.orders] == [OrderStatus.FILLED]
    assert not wires.is_busy


def test_what_faults_do_to_a_wire_is_heard_as_gaps_doubles_and_disorder() -> None:
    wires, _, door = wired(delay=1.0)
    wires._chance = 0.5
    told: list[AccountNews] = []
    for number in range(60):
        for part in range(3):
            door.place(entry(client_order_id=f"twe{number}{part}"), START)
        wires.notice()
        told += heard(wires)
    causes = {gap.cause for news in told for gap in news.gaps}
    assert causes == {GapCause.CUT, GapCause.CONNECTED}
    fills = [fill.trade_id for news in told for fill in news.fills]
    assert len(fills) > len(set(fills))
    assert fills != sorted(fills, key=lambda name: int(name[1:]))


def guarded(resting: str) -> tuple[Laws, AccountDoor, VirtualVenue]:
    """A position of one unit with a stop over all of it, and another over `resting`."""
    venue, door = open_venue()
    laws = Laws(Hub(random.Random(1), VirtualClock()), venue)
    position = Position(
        id=entry().position_id, tenant_id=entry().tenant_id, account_id=ACCOUNT, venue="venue", instrument=SYMBOL,
        side=Side.LONG, strategy="s", signal_id=None, leverage=1, exits=ExitPlan(Decimal(90), None), quantity=Decimal(1),
    )  # fmt: skip
    laws.record.positions[position.id] = position
    door.place(entry(), START)
    for number, quantity in enumerate(("1", resting)):
        door.place(stop(f"tws{number}", quantity), START)
    venue.watch = laws
    return laws, door, venue


def stop(name: str, quantity: str) -> OrderIntent:
    return entry(
        OrderRole.STOP, side=OrderSide.SELL, type=OrderType.STOP_MARKET, trigger_price=Decimal(50),
        quantity=Decimal(quantity), client_order_id=name,
    )  # fmt: skip


@pytest.mark.parametrize(("resting", "broken"), [("1", []), ("0.5", ["I8"])])
def test_a_cancelled_stop_must_leave_a_held_position_covered(resting: str, broken: list[str]) -> None:
    laws, door, _ = guarded(resting)
    door.cancel(stop("tws0", "1"))
    assert [violation.law for violation in laws.violations] == broken


def test_the_stops_of_a_position_that_was_closed_may_be_cancelled() -> None:
    laws, door, _ = guarded("0.5")
    [position] = laws.record.positions.values()
    laws.record.positions[position.id] = replace(position, quantity=Decimal(0))
    door.cancel(stop("tws0", "1"))
    laws.record.positions[position.id] = position
    laws.record.closed_at[position.id] = 3
    door.cancel(stop("tws1", "0.5"))
    assert laws.violations == []


def test_a_stream_that_books_under_names_of_its_own_is_found(simulated: Database) -> None:
    with BUGS["stream-fill-booked-twice"].planted():
        outcomes = (run_seed(simulated, seed, Chances.kinds(), frozenset()) for seed in range(4, 12))
        found = next((outcome.violations for outcome in outcomes if outcome.violations), [])
    assert "I5" in {violation.law for violation in found}
