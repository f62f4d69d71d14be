"""Listens to every live account of the fleet, each in one process only, and asks the venue after every gap."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from common.domain.errors import TradewindsError
from common.domain.risk.book import Environment
from common.domain.tenant import Account
from common.ports.account_stream import AccountNews, AccountStream, GapCause
from common.services.fleet import Fleet, open_credentials
from common.services.hear_account import hear_account, untold
from common.services.monitor_account import CLAIMED, monitor_account
from common.services.reconcile_account import BUSY, reconcile_account
from common.services.ticks import active_accounts
from common.store import Leases

log = logging.getLogger(__name__)

ACCOUNTS_MAX = 200
"""Accounts that one process listens to: a thread and a socket each."""

VISITORS = 3
LOOK_S = 2.0
_AGAIN_S = 0.2
_TOLD_MAX = 2_000
_GRACE_S, _LATE_S = 2.0, 5.0  # What happened so soon after the connection, or so lately, may rightly not be told yet.

Tell = Callable[[str, str, float], None]
"""Counts: (what, label, number); what is `gap`, `booked` or `refilled` (seconds of life from gap to visit)."""


def tell_nobody(what: str, label: str, number: float) -> None:
    """For processes whose numbers nobody collects."""


@dataclass(slots=True)
class Visits:
    """Accounts of which something may have been missed; each is visited until a visit has begun after that.

    Any number of threads may `serve`; an account is owed one visit however many gaps it had.
    """

    fleet: Fleet
    tell: Tell = tell_nobody
    _owed: dict[UUID, tuple[UUID, float, bool]] = field(default_factory=dict)
    _ready: threading.Condition = field(default_factory=threading.Condition)

    def owe(self, tenant_id: UUID, account_id: UUID, *, compare: bool = False) -> None:
        """Visit the account as soon as possible, and `compare` its book with the venue's where news was strange."""
        with self._ready:
            _, since, before = self._owed.get(account_id, (tenant_id, self.fleet.clock.monotonic(), False))
            self._owed[account_id] = (tenant_id, since, compare or before)
            self._ready.notify()

    @property
    def is_owed(self) -> bool:
        """Whether any account waits for its visit."""
        return bool(self._owed)

    def serve(self, stop: threading.Event) -> None:
        """Pay visits until `stop` is set."""
        while not stop.is_set():
            with self._ready:
                self._ready.wait_for(lambda: bool(self._owed), timeout=_AGAIN_S)
            if not self.pay_one():
                stop.wait(_AGAIN_S)

    def pay_one(self) -> bool:
        """Visit the account that has waited longest; False when it must be visited again."""
        with self._ready:
            account_id = next(iter(self._owed), None)
            owed = self._owed.pop(account_id) if account_id is not None else None
        return account_id is None or owed is None or self._pay(account_id, *owed)

    def _pay(self, account_id: UUID, tenant_id: UUID, since: float, compare: bool) -> bool:
        try:
            # A monitor that is there already may have looked before the gap: its visit does not count.
            is_paid = monitor_account(self.fleet, tenant_id, account_id) != CLAIMED
            if is_paid and compare:
                is_paid = reconcile_account(self.fleet, tenant_id, account_id) != BUSY
        except TradewindsError as error:
            log.warning("the visit of account %s after a gap failed, it is owed still: %s", account_id, error)
            is_paid = False
        if is_paid:
            self.tell("refilled", "", self.fleet.clock.monotonic() - since)
            return True
        with self._ready:
            _, _, later = self._owed.get(account_id, (tenant_id, since, False))
            self._owed[account_id] = (tenant_id, since, compare or later)
        return False


class Listener:
    """One account that is listened to, in a thread of its own."""

    def __init__(
        self, fleet: Fleet, account: Account, stream: AccountStream, visits: Visits, tell: Tell = tell_nobody
    ) -> None:
        self.account = account
        self._fleet, self._stream, self._visits, self._tell = fleet, stream, visits, tell
        self._told: deque[str] = deque(maxlen=_TOLD_MAX)
        self._connected_at: datetime | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"account-{account.id}", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still listens."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._stream.run(self.hear, self._stop)
        except Exception:
            log.exception("the stream of account %s ended; it is begun anew", self.account.id)

    def hear(self, news: AccountNews) -> None:
        """Book what was told; every gap and every doubt is counted, logged and answered by a visit."""
        for gap in news.gaps:
            if gap.cause is GapCause.CONNECTED:
                self._connected_at = self._fleet.clock.now()
            self._doubt(gap.cause.value, gap.detail)
        if not news.orders and not news.fills:
            return
        self._told.extend(fill.trade_id for fill in news.fills)
        self._told.extend(item.client_order_id for item in news.orders)
        try:
            heard = hear_account(self._fleet, self.account.tenant_id, self.account.id, news)
        except TradewindsError as error:
            self._doubt("not_booked", str(error))
            return
        self._tell("booked", self.account.venue, heard.booked)
        for doubt in heard.doubts:
            self._doubt("doubt", doubt, compare=heard.strange)

    def _doubt(self, cause: str, detail: str, *, compare: bool = False) -> None:
        level = logging.INFO if cause == GapCause.CONNECTED else logging.WARNING
        log.log(level, "gap in the stream of account %s (%s): %s", self.account.id, cause, detail)
        self._tell("gap", cause, 1)
        self._visits.owe(self.account.tenant_id, self.account.id, compare=compare)

    def watch(self) -> None:
        """Give the connection up when the ledger has a fill that it ought to have told; raises Transient."""
        clock, since = self._fleet.clock, self._connected_at
        if since is None:
            return
        begin, end = since + clock.transport(_GRACE_S), clock.now() - clock.transport(_LATE_S)
        missed = untold(self._fleet, self.account.tenant_id, self.account.id, begin, end, set(self._told))
        if missed:
            self._connected_at = None
            self._stream.distrust(missed)


class Follower:
    """The listeners of one process. Accounts are shared out among processes by leases: one listens, others stand by."""

    def __init__(self, fleet: Fleet, tell: Tell = tell_nobody, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._fleet, self._tell, self._accounts_max = fleet, tell, accounts_max
        self.visits = Visits(fleet, tell)
        self.listeners: dict[UUID, Listener] = {}
        self._mute: set[UUID] = set()
        self._leases: Leases | None = None

    def run(self, stop: threading.Event, on_look: Callable[[], None] = lambda: None) -> None:
        """Follow the accounts there are until `stop` is set; `on_look` is called now and then, as a sign of life."""
        visitors = [threading.Thread(target=self.visits.serve, args=(stop,), daemon=True) for _ in range(VISITORS)]
        for visitor in visitors:
            visitor.start()
        try:
            while not stop.is_set():
                try:
                    self.look()
                except TradewindsError as error:
                    log.warning("accounts cannot be looked up now: %s", error)
                on_look()
                stop.wait(LOOK_S)
        finally:
            self.close()
            for visitor in visitors:
                visitor.join(10)

    def look(self) -> None:
        """Listen to what nobody listens to, let go of what is not ours any more, and doubt who is too quiet."""
        leases = self._lead()
        for account_id, listener in list(self.listeners.items()):
            if not listener.is_alive or _lease(account_id) not in leases.held:
                self._end(account_id)
        for tenant_id, account_id in active_accounts(self._fleet):
            if account_id not in self.listeners and len(self.listeners) < self._accounts_max:
                self._begin(leases, tenant_id, account_id)
        for listener in self.listeners.values():
            listener.watch()

    def close(self) -> None:
        """End all listeners and give all leases up."""
        for listener in self.listeners.values():
            listener.stop()
        for account_id in list(self.listeners):
            self._end(account_id)
        if self._leases is not None:
            self._leases.close()
            self._leases = None

    def _lead(self) -> Leases:
        if self._leases is not None and not self._leases.holds():
            log.warning("the connection that holds the leases is gone; accounts are shared out anew")
            self._leases.close()
            self._leases = None
        if self._leases is None:
            self._leases = self._fleet.store.leases()
        return self._leases

    def _begin(self, leases: Leases, tenant_id: UUID, account_id: UUID) -> None:
        if account_id in self._mute or not leases.take(_lease(account_id)):
            return
        with self._fleet.store.unit_of_work(tenant_id) as uow:
            account = uow.accounts.get(account_id)
            sealed = uow.accounts.sealed_credentials(account_id)
        stream = None if account is None else self._open(account, sealed)
        if account is None or stream is None:
            leases.give(_lease(account_id))
            return
        self.listeners[account_id] = Listener(self._fleet, account, stream, self.visits, self._tell)
        self.listeners[account_id].start()

    def _open(self, account: Account, sealed: bytes | None) -> AccountStream | None:
        if account.environment is not Environment.LIVE:
            self._mute.add(account.id)  # An account's environment never changes.
            return None
        credentials = open_credentials(self._fleet.vault, account, sealed)
        return None if credentials is None else self._fleet.open_account_stream(account, credentials)

    def _end(self, account_id: UUID) -> None:
        listener = self.listeners.pop(account_id)
        listener.stop()
        listener.join(10)
        if self._leases is not None:
            self._leases.give(_lease(account_id))


def _lease(account_id: UUID) -> str:
    return f"account-stream|{account_id}"
