"""Writes down at once what a venue tells of an account by itself, and says where its word is not enough."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.domain.errors import IllegalMove, NotFound
from common.domain.order import Order, OrderStatus
from common.domain.tenant import Account
from common.ports.account_stream import AccountNews
from common.ports.venue import VenueOrder
from common.services.fleet import Fleet
from common.services.learn import learn
from common.store import UnitOfWork

_RECENT = 50


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of news: how many of its fills were booked now, and why the venue must be asked all the same.

    `strange` tells that some of it belongs to no order of ours, which only a comparison of the books can judge.
    """

    booked: int = 0
    doubts: tuple[str, ...] = ()
    strange: bool = False


def hear_account(fleet: Fleet, tenant_id: UUID, account_id: UUID, news: AccountNews) -> Heard:
    """Book orders and fills of `news` as the monitor would, in one transaction under the tenant's risk row.

    News may be old, told twice or out of order: fills are unique, and older states change nothing. What contradicts
    the table of orders is not written at all. A stop that a fill calls for is intended here and rung for at once.
    """
    with fleet.store.unit_of_work(tenant_id) as uow:
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        uow.risk.lock()
        seen, doubts = _ours(uow, account, news)
        told = {fill.trade_id for fill in news.fills}
        known = uow.fills.known(account.id, told)
        try:
            strangers = learn(fleet, uow, account, seen, news.fills)
        except IllegalMove as error:
            return Heard(0, (f"news that contradicts the ledger: {error}",))
        is_strange = bool(doubts or strangers)
        doubts += [f"fill {fill.trade_id} belongs to no order of ours" for fill in strangers]
        doubts += [text for order, item in seen if (text := _lacking(uow, order, item))]
        booked = len(told - known - {fill.trade_id for fill in strangers})
        refs = uow.commit()
    fleet.publish(refs)
    return Heard(booked, tuple(doubts), is_strange)


def _ours(uow: UnitOfWork, account: Account, news: AccountNews) -> tuple[list[tuple[Order, VenueOrder]], list[str]]:
    seen: list[tuple[Order, VenueOrder]] = []
    doubts: list[str] = []
    for item in news.orders:
        order = uow.orders.by_client_id(item.client_order_id) or uow.orders.by_venue_id(account.id, item.venue_order_id)
        if order is None or order.intent.account_id != account.id or order.status is OrderStatus.INTENDED:
            doubts.append(f"order {item.client_order_id or item.venue_order_id} is none that we have sent")
        else:
            seen.append((order, item))
    return seen, doubts


def _lacking(uow: UnitOfWork, order: Order, item: VenueOrder) -> str:
    """What the venue says was filled and our fills do not account for: messages were lost, or are still to come."""
    current = uow.orders.get(order.id)
    known = current.filled_quantity if current is not None else item.filled_quantity
    missing = item.filled_quantity - known
    return f"fills of {order.intent.client_order_id} are missing: {missing}" if missing > 0 else ""


def untold(
    fleet: Fleet, tenant_id: UUID, account_id: UUID, since: datetime, until: datetime, told: Collection[str]
) -> str:
    """The newest fill of ours between `since` and `until` of which the stream told nothing; empty when it told of all.

    `told` holds trade ids and client order ids. What others found and the stream did not tell shows a dead stream.
    """
    with fleet.store.unit_of_work(tenant_id) as uow:
        for fill in uow.fills.list(_RECENT, account_id=account_id):
            if not since <= fill.occurred_at <= until or fill.trade_id in told:
                continue
            order = uow.orders.get(fill.order_id)
            if order is None or order.intent.client_order_id not in told:
                return f"fill {fill.trade_id} of {fill.instrument} was not told"
    return ""
