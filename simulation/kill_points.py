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
    "account.refill": "venue.balance venue.find venue.positions venue.fills commit bus.ring",
    "operator.halt": "commit",
    "operator.resume": "commit",
}
"""The doors that every service goes through, one way or another."""

KILL_POINTS: frozenset[KillPoint] = frozenset(
    KillPoint(service, door, moment) for service, doors in DOORS.items() for door in doors.split() for moment in Moment
)

RARE: frozenset[KillPoint] = frozenset(
    point
    for point in KILL_POINTS
    if point.service in {"execution.cancel", "operator.halt", "operator.resume"}
    or (point.service, point.door) in {("execution.settle", "bus.ring"), ("position.visit", "venue.open_orders")}
    or (point.service == "maintenance.reconcile" and point.door in {"bus.ring", "venue.find"})
)
"""Points that few seeds come by: whoever does is killed there."""

_ALL = tuple(sorted(KILL_POINTS))


def aims(seed: int) -> frozenset[KillPoint]:
    """Where `seed` kills on purpose: at each point in its turn, and every other seed wherever few come by.

    Of a door that few come by one side is meant: who was killed before it does not reach the other.
    """
    turn = frozenset({_ALL[seed // 2 % len(_ALL)]})
    side = Moment.BEFORE if seed // 2 % 2 else Moment.AFTER
    return turn | {point for point in RARE if point.moment is side} if seed % 2 else turn
