"""Flat is what the venue shows, not what was asked for: watches FLATTEN halts until nothing is open, and tells how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from common.domain.codec import encode
from common.domain.money import ZERO
from common.domain.order import Order
from common.domain.position import Position
from common.domain.risk.book import Halt, HaltMode, HaltScope
from common.domain.signal import Side
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueOrder, VenuePosition
from common.services.fleet import Fleet
from common.store import Flattening, UnitOfWork

_NOT_VISITED = "not visited since the halt"
_NOT_ASKED = "not asked while the ledger is not flat"


@dataclass(frozen=True, slots=True)
class Witness:
    """What the venue showed of an account while `halts` were waiting for it to be flat; not `is_asked`, it was no use yet."""

    halts: tuple[Halt, ...]
    positions: tuple[VenuePosition, ...] = ()
    orders: tuple[VenueOrder, ...] = ()
    is_asked: bool = True


def awaited(uow: UnitOfWork, account: Account) -> list[Halt]:
    """The FLATTEN halts in force under which `account` was not seen flat yet."""
    waiting = [halt for halt in uow.halts.list() if halt.mode is HaltMode.FLATTEN and concerns(halt, account)]
    flat = uow.flattenings.flat(account.id) if waiting else set()
    return [halt for halt in waiting if halt.epoch not in flat]


def witness(uow: UnitOfWork, account: Account, venue: Venue, *, insists: bool = True) -> Witness | None:
    """Ask the venue what is open, while a FLATTEN halt waits for this account; None when none does.

    Called before the risk row is locked. What is sent afterwards can only reduce: entries are under the halt. The list of
    all open orders is dear: who does not insist asks only once our own ledger shows nothing under some of the halts.
    """
    waiting = awaited(uow, account)
    if not waiting:
        return None
    if not insists:
        book = _Book.read(uow, account)
        if all(book.in_ledger(halt) for halt in waiting):
            return Witness(tuple(waiting), is_asked=False)
    held = tuple(item for item in venue.positions() if item.quantity != ZERO)
    return Witness(tuple(waiting), held, tuple(venue.open_orders()))


def concerns(halt: Halt, account: Account) -> bool:
    """Whether `halt` may cover anything of `account`; strategies and instruments may be anywhere."""
    subjects = {HaltScope.VENUE: account.venue, HaltScope.TENANT: str(account.tenant_id)}
    return subjects.get(halt.scope, halt.subject) == halt.subject


def note_flatness(uow: UnitOfWork, account: Account, seen: Witness | None, now: datetime) -> None:
    """Keep how far each flattening has come; the one that ends it goes into the tenant's audit trail."""
    if seen is None:
        return
    book = _Book.read(uow, account)
    for halt in seen.halts:
        at_venue = book.at_venue(halt, seen) if seen.is_asked else [_NOT_ASKED]
        in_ledger = book.in_ledger(halt)
        if uow.flattenings.note(account.id, halt.epoch, halt.since, at_venue, in_ledger, now):
            took = str((now - halt.since).total_seconds())
            uow.audit.append("flat", str(account.id), {"epoch": halt.epoch, "after_s": took}, now)


@dataclass(frozen=True, slots=True)
class _Book:
    """The ledger's side of an account: what is held and what may still become something."""

    positions: Sequence[Position]
    orders: Sequence[tuple[Order, str]]

    @classmethod
    def read(cls, uow: UnitOfWork, account: Account) -> _Book:
        orders = []
        for order in uow.orders.live(account.id):
            signal = uow.signals.get(order.intent.signal_id) if order.intent.signal_id else None
            orders.append((order, signal.strategy if signal else ""))
        return cls(uow.positions.open(account.id), orders)

    def in_ledger(self, halt: Halt) -> list[str]:
        held = [
            f"{item.side.value} {item.quantity} {item.instrument}"
            for item in self.positions
            if _covers(halt, item.instrument, item.strategy)
        ]
        working = [
            f"{order.status.value} {order.intent.role.value} {order.intent.client_order_id}"
            for order, strategy in self.orders
            if _covers(halt, order.intent.instrument, strategy)
        ]
        return held + working

    def at_venue(self, halt: Halt, seen: Witness) -> list[str]:
        """What the venue holds beyond that which is none of this halt's business."""
        spared = self._spared(halt)
        held = [(item.instrument, item.quantity - spared.get(item.instrument, ZERO)) for item in seen.positions]
        ours = {order.intent.client_order_id: strategy for order, strategy in self.orders}
        working = [
            f"order {item.client_order_id or item.venue_order_id} {item.instrument}"
            for item in seen.orders
            if _covers(halt, item.instrument, ours.get(item.client_order_id, halt.subject))
        ]
        covered = [(symbol, excess) for symbol, excess in held if excess != ZERO and _covers_symbol(halt, symbol)]
        return [f"{excess} {symbol}" for symbol, excess in covered] + working

    def _spared(self, halt: Halt) -> dict[str, Decimal]:
        """Signed quantities of positions of other strategies, which a strategy's halt leaves alone."""
        spared: dict[str, Decimal] = {}
        for item in self.positions:
            if not _covers(halt, item.instrument, item.strategy):
                signed = item.quantity if item.side is Side.LONG else -item.quantity
                spared[item.instrument] = spared.get(item.instrument, ZERO) + signed
        return spared


def _covers(halt: Halt, symbol: str, strategy: str) -> bool:
    if halt.scope is HaltScope.STRATEGY:
        return strategy == halt.subject
    return _covers_symbol(halt, symbol)


def _covers_symbol(halt: Halt, symbol: str) -> bool:
    return halt.scope is not HaltScope.INSTRUMENT or symbol == halt.subject


def flatness(fleet: Fleet, scope: HaltScope | None = None, subject: str = "") -> list[dict[str, Any]]:
    """One row per FLATTEN halt in force (of `scope` and `subject` where given): how flat, what is open, how long it took.

    Keys: scope, subject, epoch, since, accounts, flat, is_flat, time_to_flat_s (venue seconds from the halt until the
    last account was seen flat at the venue; None before), time_to_flat_life_s, open (one item per account that is not).
    """
    with fleet.store.operator() as view:
        halts = [halt for halt in view.halts() if halt.mode is HaltMode.FLATTEN]
        if not halts:
            return []
        accounts, names = view.accounts(), {tenant.id: tenant.name for tenant in view.tenants()}
        seen = {(item.account_id, item.epoch): item for item in view.flattenings()}
    wanted = [halt for halt in halts if scope in {None, halt.scope} and (not subject or subject == halt.subject)]
    return [_progress(fleet, halt, [a for a in accounts if concerns(halt, a)], seen, names) for halt in wanted]


def _progress(
    fleet: Fleet,
    halt: Halt,
    accounts: Sequence[Account],
    seen: dict[tuple[UUID, int], Flattening],
    names: dict[UUID, str],
) -> dict[str, Any]:
    found = [(account, seen.get((account.id, halt.epoch))) for account in accounts]
    flat_at = [item.flat_at for _, item in found if item is not None and item.flat_at is not None]
    is_flat = len(flat_at) == len(found)
    took = (max(flat_at, default=halt.since) - halt.since).total_seconds() if is_flat else None
    return {
        "scope": halt.scope.value,
        "subject": halt.subject,
        "epoch": halt.epoch,
        "since": encode(halt.since),
        "accounts": len(found),
        "flat": len(flat_at),
        "is_flat": is_flat,
        "time_to_flat_s": took,
        "time_to_flat_life_s": None if took is None else round(took / fleet.clock.rate, 3),
        "open": [
            {
                "tenant": names.get(account.tenant_id),
                "account": account.name,
                "open_since": encode(halt.since),
                "seen_at": None if item is None else encode(item.seen_at),
                "at_venue": [_NOT_VISITED] if item is None else list(item.at_venue),
                "in_ledger": [] if item is None else list(item.in_ledger),
            }
            for account, item in found
            if item is None or item.flat_at is None
        ],
    }
