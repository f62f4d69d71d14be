"""Every place at which a worker can be killed: a service, a door it goes through, and the side of the door."""

from __future__ import annotations

from collections.abc import Mapping

from simulation.hub import KillPoint, Moment

DOORS: Mapping[str, str] = {
    "signal.schedule": "commit bus.ring",
    "signal.scan": "market.candles commit bus.ring",
    "llm.confirm": "advisor.ask commit bus.ring",
    "risk.evaluate": "market.market commit bus.ring",
    "execution.place": "venue.set_leverage venue.place venue.fills commit bus.ring",
    "execution.settle": "venue.find venue.open_orders venue.fills commit bus.ring",
    "execution.cancel": "venue.cancel venue.find venue.fills commit bus.ring",
    "position.visit": (
        "venue.balance venue.open_orders venue.find venue.fills venue.fundings venue.positions market.mark commit bus.ring"
    ),
    "maintenance.reconcile": "venue.positions venue.fills venue.open_orders venue.find commit bus.ring",
    "maintenance.relay": "commit bus.ring",
    "maintenance.equity": "commit",
    "account.hear": "commit bus.ring",
    "account.refill": (
        "venue.balance venue.open_orders venue.find venue.fills venue.fundings venue.positions market.mark commit bus.ring"
    ),
    "operator.halt": "commit",
    "operator.resume": "commit",
}
"""The doors that every service goes through, one way or another."""

KILL_POINTS: frozenset[KillPoint] = frozenset(
    KillPoint(service, door, moment) for service, doors in DOORS.items() for door in doors.split() for moment in Moment
)

_SELDOM: Mapping[str, str] = {
    "execution.settle": "venue.open_orders venue.fills",
    "execution.cancel": "venue.cancel venue.find venue.fills commit",
    "position.visit": "venue.open_orders venue.find venue.fills",
    "maintenance.reconcile": "venue.find",
    "account.refill": "venue.open_orders venue.find venue.fills",
    "operator.halt": "commit",
    "operator.resume": "commit",
}

RARE: frozenset[KillPoint] = frozenset(
    point for point in KILL_POINTS if point.door == "bus.ring" or point.door in _SELDOM.get(point.service, "").split()
)
"""Points that few seeds come by, and the ends of all ways: whoever does is killed there."""

TURNS = 4
"""A seed aims at one in so many points of its side, and every other seed at all that few come by."""

_ALL = tuple(sorted(KILL_POINTS))
_RINGS_OF_CANCEL = frozenset(
    point for point in KILL_POINTS if point.service == "execution.cancel" and point.door == "bus.ring"
)


def aims(seed: int) -> frozenset[KillPoint]:
    """Where `seed` kills on purpose, once each: at some points in their turn, and every other time wherever few come by.

    One side of all doors is meant: who was killed before a door does not reach the other side of it. A seed that takes
    back spares everybody on the long way to the one door that no other seed comes by.
    """
    number, side = seed // 2, Moment.BEFORE if seed % 2 else Moment.AFTER
    if takes_back(seed):
        return frozenset(point for point in _RINGS_OF_CANCEL if point.moment is side)
    turn = {point for place, point in enumerate(_ALL) if place // 2 % TURNS == number % TURNS}
    return frozenset(point for point in turn | (RARE if number % 2 else set()) if point.moment is side)


def takes_back(seed: int) -> bool:
    """Whether `seed` brings about what there is to take back: entries that stay filled in part, and halts that cancel them."""
    return seed // 2 % 16 == TURNS
