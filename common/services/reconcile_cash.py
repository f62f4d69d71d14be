"""maintenance.cash: holds an account's wallet against our book, books what came from elsewhere, and tells of the rest."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from common.domain.errors import NotFound, TradewindsError
from common.domain.money import ZERO
from common.domain.order import OrderRole
from common.domain.postings import (
    CashFlow,
    Disagreement,
    EntryKind,
    FlowKind,
    Movement,
    disagreements,
    wallet_of,
)
from common.domain.tenant import Account
from common.ports.venue import Venue, VenueBalance, VenueFunding
from common.services.account_book import book_of
from common.services.fleet import Fleet
from common.services.learn import learn_fundings, live_orders
from common.store import KeptStatement, UnitOfWork

log = logging.getLogger(__name__)

OPENING_ID = "opening"
ALERT = "cash"

_FLOWS = {EntryKind.TRANSFER: FlowKind.TRANSFER, EntryKind.OTHER: FlowKind.OTHER}


@dataclass(frozen=True, slots=True)
class _Told:
    """What the venue told: the wallet before and after its statement was read, and the statement."""

    before: VenueBalance
    movements: Sequence[Movement]
    after: VenueBalance

    @property
    def is_still(self) -> bool:
        return self.before.wallet == self.after.wallet


def reconcile_cash(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> str:
    """Compare the wallet at the venue with opening + postings, to the last digit; safe to repeat.

    The first visit that finds no order under way books what the wallet holds then as the opening. A wallet that our book does not explain makes the
    venue's statement be read: transfers and what else comes from outside are booked as cash flows, fundings nobody saw
    fall due as fundings. What is left unexplained is kept with the first item that differs, and is told of once it has
    been seen twice: a fill may be on its way. It is never booked.
    """
    with fleet.store.unit_of_work(tenant_id) as uow:
        if not uow.accounts.claim(account_id):
            return "claimed by another worker"
        account = uow.accounts.get(account_id)
        if account is None:
            raise NotFound("account", account_id)
        venue = fleet.venue_of(uow, account)
        opening = uow.cash_flows.opening(account.id)
        if opening is None:
            outcome = _open(fleet, uow, account, venue)
        else:
            outcome = _compare(fleet, uow, account, venue, opening)
        refs = uow.commit()
    fleet.publish(refs)
    _tell(fleet, tenant_id, account_id)
    return outcome


def _open(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue) -> str:
    before = venue.balance()
    now = fleet.clock.now()
    is_settled = _is_settled(uow, account, venue)
    held = venue.balance()
    booked = wallet_of(book_of(uow, account), held.asset)
    if not is_settled or before.wallet != held.wallet:
        return "moved while it was opened; judged at the next visit"
    opening = CashFlow(
        tenant_id=account.tenant_id,
        account_id=account.id,
        venue=account.venue,
        kind=FlowKind.OPENING,
        income_id=OPENING_ID,
        amount=held.wallet - booked,
        asset=held.asset,
        note="what the wallet held at first sight",
        occurred_at=now,
    )
    uow.cash_flows.add(opening)
    uow.statements.keep(KeptStatement(account.id, held.asset, held.wallet, held.wallet, "", now, now))
    payload = {"amount": format(opening.amount, "f"), "asset": opening.asset, "wallet": format(held.wallet, "f")}
    uow.audit.append("cash_opening", str(account.id), payload, now)
    return f"opened with {opening.amount} {opening.asset}"


def _is_settled(uow: UnitOfWork, account: Account, venue: Venue) -> bool:
    """Whether the wallet holds nothing yet of trades that our book will learn of: they would be counted twice for ever.

    A fill that we do not know belongs to an order that we believe alive, or has changed what the venue says is held.
    """
    if any(order.intent.role is not OrderRole.STOP for order in live_orders(uow, account)):
        return False
    held: dict[str, Decimal] = defaultdict(Decimal)
    for item in venue.positions():
        held[item.instrument] += item.quantity
    for position in uow.positions.open(account.id):
        held[position.instrument] -= position.quantity * position.side.sign
    return not any(held.values())


def _compare(fleet: Fleet, uow: UnitOfWork, account: Account, venue: Venue, opening: CashFlow) -> str:
    last = uow.statements.get(account.id)
    since = last.agreed_at if last is not None and last.differs_since is None else opening.occurred_at
    before = venue.balance()
    now = fleet.clock.now()
    entries = book_of(uow, account)
    if before.wallet == wallet_of(entries, before.asset):
        return _keep(uow, account, last, before, before.wallet, [], now)
    start = max(since - fleet.policy.overlap, opening.occurred_at)
    told = _Told(before, venue.statement(start), venue.balance())
    uow.risk.lock()
    booked = _book(fleet, uow, account, told, opening, now)
    if not told.is_still:
        return "moved while it was read; judged at the next visit"
    entries = book_of(uow, account)
    expected = wallet_of(entries, told.after.asset)
    items: list[Disagreement] = []
    if expected != told.after.wallet:
        ours = [entry for entry in entries if entry.occurred_at >= start and entry.kind is not EntryKind.OPENING]
        items = disagreements(ours, told.movements, told.after.asset)
    outcome = _keep(uow, account, last, told.after, expected, items, now)
    return f"{outcome}; {booked} booked from the statement" if booked else outcome


def _book(fleet: Fleet, uow: UnitOfWork, account: Account, told: _Told, opening: CashFlow, now: datetime) -> int:
    """Book what the statement explains beside trades; how many cash flows of it were new."""
    learn_fundings(fleet, uow, account, [_funding(line) for line in told.movements if line.kind is EntryKind.FUNDING])
    count = 0
    for line in told.movements:
        # What moved before the first look is part of the opening.
        if line.kind not in _FLOWS or line.occurred_at <= opening.occurred_at:
            continue
        flow = CashFlow(
            tenant_id=account.tenant_id,
            account_id=account.id,
            venue=account.venue,
            kind=_FLOWS[line.kind],
            income_id=line.reference,
            amount=line.amount,
            asset=line.asset,
            note=line.note,
            occurred_at=line.occurred_at,
        )
        if uow.cash_flows.add(flow):
            count += 1
            payload = {"kind": flow.kind.value, "income_id": flow.income_id, "amount": format(flow.amount, "f")}
            uow.audit.append("cash_flow", str(account.id), payload | {"asset": flow.asset}, now)
            _lower_peak(uow, account, flow, told.after)
    return count


def _lower_peak(uow: UnitOfWork, account: Account, flow: CashFlow, held: VenueBalance) -> None:
    """A withdrawal is no drawdown: the peak shrinks by the share of equity that left. A deposit raises it by itself."""
    before = held.equity - flow.amount
    if flow.amount < ZERO < held.equity and flow.asset == held.asset:
        uow.risk.scale_peak(account.id, held.equity / before)


def _funding(line: Movement) -> VenueFunding:
    return VenueFunding(line.reference, line.instrument, line.amount, line.asset, line.occurred_at)


def _keep(
    uow: UnitOfWork,
    account: Account,
    last: KeptStatement | None,
    held: VenueBalance,
    expected: Decimal,
    items: Sequence[Disagreement],
    now: datetime,
) -> str:
    difference = held.wallet - expected
    agrees = difference == ZERO
    was_same = last is not None and last.differs_since is not None and last.difference == difference
    statement = KeptStatement(
        account_id=account.id,
        asset=held.asset,
        wallet=held.wallet,
        expected=expected,
        first_difference="" if agrees else _first(items),
        checked_at=now,
        agreed_at=now if agrees or last is None else last.agreed_at,
        differs_since=None if agrees else (last.differs_since if was_same and last else now),
        alerted_at=last.alerted_at if was_same and last else None,
    )
    uow.statements.keep(statement)
    if agrees and last is not None and last.alerted_at is not None:
        uow.audit.append("cash_agrees", str(account.id), {"wallet": format(held.wallet, "f")}, now)
    return "equal" if agrees else f"differs by {difference} {held.asset}: {statement.first_difference}"


def _first(items: Sequence[Disagreement]) -> str:
    return str(items[0]) if items else "no item of the venue's statement explains it"


def _tell(fleet: Fleet, tenant_id: UUID, account_id: UUID) -> None:
    """Alert of a difference that was seen at two visits, once; an alert that did not get through is sent again."""
    with fleet.store.unit_of_work(tenant_id) as uow:
        statement, account, tenant = (
            uow.statements.get(account_id),
            uow.accounts.get(account_id),
            uow.tenants.get(tenant_id),
        )
        if statement is None or account is None or tenant is None or not _is_news(statement):
            return
        title = f"{account.name} at {account.venue}: the wallet is not what the ledger says"
        body = (
            f"the venue says {statement.wallet:f} {statement.asset}, the ledger {statement.expected:f}: "
            f"{statement.difference:f} is unexplained since {statement.differs_since}. {statement.first_difference}"
        )
        try:
            fleet.notifier.notify(tenant.name, ALERT, title, body)
        except TradewindsError as error:
            log.warning("the alert on the wallet of %s is sent again at the next visit: %s", account_id, error)
            return
        now = fleet.clock.now()
        uow.statements.keep(replace(statement, alerted_at=now))
        payload = {"difference": format(statement.difference, "f"), "first": statement.first_difference}
        uow.audit.append("cash_differs", str(account_id), payload, now)
        uow.commit()


def _is_news(statement: KeptStatement) -> bool:
    is_lasting = statement.differs_since is not None and statement.differs_since < statement.checked_at
    return is_lasting and statement.alerted_at is None
