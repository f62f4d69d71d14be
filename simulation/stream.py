"""What the venue tells of accounts by itself, on a wire that drops, doubles, turns round and cuts; and who listens to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from uuid import UUID

from common.domain.order import OrderStatus
from common.domain.tenant import Account
from common.ports.account_stream import AccountNews, Gap, GapCause, Hearer
from common.services.fleet import Fleet
from common.services.follow_accounts import Listener, Visits
from simulation.hub import Hub
from simulation.venue import VirtualVenue


class SilentWire:
    """The stream's own side: the simulation hands news to the listener itself, and cuts a wire that is distrusted."""

    def __init__(self, cut: Callable[[], None]) -> None:
        self._cut = cut

    def run(self, hear: Hearer, stop: Event) -> None:
        """Nobody runs it."""

    def distrust(self, detail: str) -> None:
        """Begin a new connection."""
        self._cut()


@dataclass(slots=True)
class Wire:
    """One account's messages on their way; `told` is how much of each order was put on it, `fills` how many fills."""

    waiting: list[AccountNews] = field(default_factory=list)
    told: dict[str, tuple[OrderStatus, str, str]] = field(default_factory=dict)
    fills: int = 0


class Wires:
    """All accounts' wires. What the venue does is put on them at once; faults decide what arrives."""

    def __init__(self, hub: Hub, venue: VirtualVenue, accounts: list[UUID], seed: int) -> None:
        self._hub, self._venue = hub, venue
        # Dice of their own, so that a wire more or less changes nothing else.
        self._rng = random.Random(f"wires|{seed}")
        self._chance = self._rng.choice((0.0, 0.1, 0.4))
        self._wires = {account: Wire() for account in accounts}
        for account in accounts:
            self.connect(account)

    def connect(self, account: UUID) -> None:
        """A new connection: what was on its way is lost, and the first thing heard is that it begins."""
        wire = self._wires[account]
        wire.waiting = [AccountNews(gaps=(Gap(GapCause.CONNECTED),))]

    def notice(self) -> None:
        """Put on the wires what has changed at the venue since the last time."""
        for account in self._wires:
            for news in self._changes(account):
                self._send(account, news)

    def _changes(self, account: UUID) -> list[AccountNews]:
        wire, book = self._wires[account], self._venue.account(account)
        found = [AccountNews(fills=(item.fill,)) for item in book.fills[wire.fills :]]
        wire.fills = len(book.fills)
        for order in book.orders:
            name, state = order.intent.client_order_id, (order.status, str(order.filled), order.venue_order_id)
            if wire.told.get(name) != state:
                wire.told[name] = state
                found.append(AccountNews(orders=(order.told(),)))
        return found

    def _send(self, account: UUID, news: AccountNews) -> None:
        wire = self._wires[account]
        if self._strikes("stream_cut", 0.3):
            # What was on its way and this message are lost; both ends learn that the connection ended.
            wire.waiting = [AccountNews(gaps=(Gap(GapCause.CUT),)), AccountNews(gaps=(Gap(GapCause.CONNECTED),))]
            return
        wire.waiting.append(news)
        if self._strikes("stream_doubled", 1.0):
            wire.waiting.append(news)

    def take(self) -> tuple[UUID, AccountNews] | None:
        """Some wire's next message, or a later one before it."""
        ready = [account for account, wire in self._wires.items() if wire.waiting]
        if not ready:
            return None
        account = self._rng.choice(ready)
        waiting = self._wires[account].waiting
        turned = len(waiting) > 1 and not waiting[0].gaps and self._strikes("stream_out_of_order", 1.0)
        return account, waiting.pop(1 if turned else 0)

    @property
    def is_busy(self) -> bool:
        """Whether anything is on its way."""
        return any(wire.waiting for wire in self._wires.values())

    def _strikes(self, name: str, share: float) -> bool:
        if self._hub.is_healed or self._hub.chances.delay <= 0.0 or self._rng.random() >= self._chance * share:
            return False
        self._hub.count(name)
        return True


class Ears:
    """The process that listens: it remembers which visits it owes until it is killed, and a new one begins with gaps."""

    def __init__(self, fleet: Fleet, wires: Wires, accounts: list[Account]) -> None:
        self._wires, self._accounts = wires, accounts
        self.visits = Visits(fleet)
        self.listeners = {
            account.id: Listener(fleet, account, SilentWire(partial(wires.connect, account.id)), self.visits)
            for account in accounts
        }

    @property
    def has_work(self) -> bool:
        """Whether something is to be heard, or a visit owed."""
        return self._wires.is_busy or self.visits.is_owed

    def reconnect(self) -> None:
        """The process was killed: every connection is a new one."""
        for account in self._accounts:
            self._wires.connect(account.id)

    def listen(self, hub: Hub) -> None:
        """Hear the next message, or pay a visit."""
        taken = self._wires.take()
        if taken is not None:
            hub.serve("account.hear")
            self.listeners[taken[0]].hear(taken[1])
        else:
            hub.serve("account.refill")
            self.visits.pay_one()
