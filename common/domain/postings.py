"""Double entry: what every fill, fee, funding payment and cash flow moves between the accounts of one book."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from uuid import UUID

from common.domain.fill import Fill, Funding
from common.domain.money import ZERO, booked, exactly


class Book(StrEnum):
    """The accounts; debits (+) are what is owned or was spent, credits (−) what is owed or was earned.

    `CASH` is the wallet. `POSITION` is what open contracts cost and `CONTRACT` its counterpart, for a future is not paid
    for until it is closed; `TRADING` is the counterpart of assets bought and sold outright. `ROUNDING` is what the venue
    keeps or gives by booking profit to eight decimals.
    """

    CASH = "cash"
    POSITION = "position"
    CONTRACT = "contract"
    TRADING = "trading"
    REALISED = "realised"
    ROUNDING = "rounding"
    FEES = "fees"
    FUNDING = "funding"
    OPENING = "opening"
    TRANSFERS = "transfers"
    OTHER = "other"


class FlowKind(StrEnum):
    """Kinds of movements of the wallet that no fill and no funding explains; `OPENING` is what it held at first sight."""

    OPENING = "opening"
    TRANSFER = "transfer"
    OTHER = "other"


_COUNTERPART = {
    FlowKind.OPENING: Book.OPENING,
    FlowKind.TRANSFER: Book.TRANSFERS,
    FlowKind.OTHER: Book.OTHER,
}


@dataclass(frozen=True, slots=True)
class CashFlow:
    """One movement of the wallet that trading does not explain: `amount` is positive when received, in `asset`.

    `note` is the venue's own word for it; unique by account, kind and the venue's `income_id`.
    """

    tenant_id: UUID
    account_id: UUID
    venue: str
    kind: FlowKind
    income_id: str
    amount: Decimal
    asset: str
    note: str
    occurred_at: datetime


class EntryKind(StrEnum):
    """What an entry books: the five kinds of movements that a venue's statement tells apart, and the opening."""

    REALISED = "realised"
    FEE = "fee"
    FUNDING = "funding"
    OPENING = "opening"
    TRANSFER = "transfer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount` of `asset` moved on an account: + debit, − credit."""

    book: Book
    asset: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Entry:
    """One event and its postings, which sum to zero in every asset; `reference` is the venue's id of it."""

    kind: EntryKind
    reference: str
    instrument: str
    occurred_at: datetime
    postings: tuple[Posting, ...]

    @property
    def imbalance(self) -> Mapping[str, Decimal]:
        """What the postings do not sum to zero by, in each asset; empty for every entry made here."""
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for posting in self.postings:
            sums[posting.asset] += posting.amount
        return {asset: amount for asset, amount in sums.items() if amount != ZERO}

    def cash(self, asset: str) -> Decimal:
        """What the entry does to the wallet in `asset`."""
        return sum((item.amount for item in self.postings if item.book is Book.CASH and item.asset == asset), ZERO)


@dataclass(slots=True)
class _Holding:
    """What an account holds of one contract, as venues keep it: one net position at its average entry."""

    quantity: Decimal = ZERO
    entry: Decimal = ZERO

    @property
    def cost(self) -> Decimal:
        return self.quantity * self.entry

    def apply(self, signed: Decimal, price: Decimal) -> Decimal:
        """Take an execution in; what it realised, before fees and before the venue rounds it."""
        if self.quantity * signed >= ZERO:
            total = self.quantity + signed
            self.entry = (self.entry * abs(self.quantity) + price * abs(signed)) / abs(total)
            self.quantity = total
            return ZERO
        closed = min(abs(signed), abs(self.quantity)) * (1 if self.quantity > ZERO else -1)
        realised = (price - self.entry) * closed
        was = self.quantity
        self.quantity += signed
        if self.quantity * was <= ZERO:
            # Flat, or turned to the other side by what was left of the execution.
            self.entry = price if self.quantity else ZERO
        return realised


def settle_of(instrument: str) -> str | None:
    """Asset a contract settles in (`USDT` of `BTC/USDT:USDT`); None for what is bought and sold outright."""
    return instrument.partition(":")[2] or None


@exactly
def entries_of(fills: Iterable[Fill], fundings: Iterable[Funding], flows: Iterable[CashFlow] = ()) -> list[Entry]:
    """Every entry of one account, oldest first; nothing is kept of them, they are folded anew from what happened.

    A fill's profit is that of the account's net position in the instrument at its average entry, and is booked to eight
    decimals: what Binance USD-M futures books as REALIZED_PNL of the trade.
    """
    ordered = sorted(fills, key=_order_of_fills)
    made = chain(_of_fills(ordered), map(_of_funding, fundings), map(_of_flow, flows))
    return sorted(made, key=lambda entry: entry.occurred_at)


def _order_of_fills(fill: Fill) -> tuple[datetime, int, str]:
    # A venue's trade ids grow; as text, 10 would come before 9.
    return fill.occurred_at, len(fill.trade_id), fill.trade_id


def _of_fills(fills: Iterable[Fill]) -> Iterator[Entry]:
    held: dict[str, _Holding] = defaultdict(_Holding)
    for fill in fills:
        settle = settle_of(fill.instrument)
        postings = _outright(fill) if settle is None else _contract(fill, held[fill.instrument], settle)
        yield Entry(EntryKind.REALISED, fill.trade_id, fill.instrument, fill.occurred_at, postings)
        if fill.fee != ZERO:
            paid = _pair(Book.FEES, fill.fee_asset, -fill.fee)
            yield Entry(EntryKind.FEE, fill.trade_id, fill.instrument, fill.occurred_at, paid)


def _contract(fill: Fill, holding: _Holding, settle: str) -> tuple[Posting, ...]:
    before = booked(holding.cost)
    exact = holding.apply(fill.quantity * fill.side.sign, fill.price)
    # The cost is carried to eight decimals, so that nothing is left of it once the position is flat.
    profit, bought = booked(exact), booked(holding.cost) - before
    moved = (
        (Book.POSITION, bought),
        (Book.CONTRACT, -bought),
        (Book.CASH, profit),
        (Book.REALISED, -exact),
        (Book.ROUNDING, exact - profit),
    )
    return tuple(Posting(book, settle, amount) for book, amount in moved if amount != ZERO)


def _outright(fill: Fill) -> tuple[Posting, ...]:
    base, quote = fill.instrument.split("/", 1)
    bought, paid = fill.quantity * fill.side.sign, fill.quantity * fill.price * fill.side.sign
    return (
        Posting(Book.CASH, base, bought),
        Posting(Book.TRADING, base, -bought),
        Posting(Book.CASH, quote, -paid),
        Posting(Book.TRADING, quote, paid),
    )


def _of_funding(funding: Funding) -> Entry:
    postings = _pair(Book.FUNDING, funding.asset, funding.amount)
    return Entry(EntryKind.FUNDING, funding.income_id, funding.instrument, funding.occurred_at, postings)


def _of_flow(flow: CashFlow) -> Entry:
    postings = _pair(_COUNTERPART[flow.kind], flow.asset, flow.amount)
    return Entry(EntryKind(flow.kind.value), flow.income_id, "", flow.occurred_at, postings)


def _pair(book: Book, asset: str, received: Decimal) -> tuple[Posting, ...]:
    return (Posting(Book.CASH, asset, received), Posting(book, asset, -received))


@exactly
def trial_balance(entries: Iterable[Entry]) -> dict[str, dict[Book, Decimal]]:
    """Sum of every account in each asset; the sums of one asset add up to zero."""
    sums: dict[str, dict[Book, Decimal]] = {}
    for entry in entries:
        for posting in entry.postings:
            of_asset = sums.setdefault(posting.asset, {})
            of_asset[posting.book] = of_asset.get(posting.book, ZERO) + posting.amount
    return {asset: dict(sorted(sums[asset].items())) for asset in sorted(sums)}


@exactly
def wallet_of(entries: Iterable[Entry], asset: str) -> Decimal:
    """What the wallet must hold of `asset` by our book."""
    return sum((entry.cash(asset) for entry in entries), ZERO)


Item = tuple[EntryKind, str, str]
"""An item of a statement: its kind, the venue's id of it and its instrument (empty for what belongs to none)."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An item that book and statement tell differently; None = not there. Amounts as the wallet moved."""

    item: Item
    occurred_at: datetime
    ours: Decimal | None
    theirs: Decimal | None

    def __str__(self) -> str:
        kind, reference, instrument = self.item
        name = f"{kind} {reference} of {instrument}" if instrument else f"{kind} {reference}"
        ours, theirs = ("absent" if side is None else format(side, "f") for side in (self.ours, self.theirs))
        return f"{name} is {ours} in the ledger and {theirs} at the venue"


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of a venue's statement: the wallet moved by `amount` of `asset`; `note` is the venue's word for it."""

    kind: EntryKind
    reference: str
    instrument: str
    amount: Decimal
    asset: str
    occurred_at: datetime
    note: str = ""

    @property
    def item(self) -> Item:
        """What it is, whoever tells of it."""
        return self.kind, self.reference, self.instrument


@exactly
def disagreements(entries: Iterable[Entry], told: Iterable[Movement], asset: str) -> list[Disagreement]:
    """Items in `asset` that differ, oldest first; both sides must cover the same time.

    Only kinds are compared of which the statement tells any: not every venue tells fees and profit apart. What moved
    nothing is left out on both sides.
    """
    theirs = {line.item: line for line in told if line.asset == asset and line.amount != ZERO}
    kinds = {line.kind for line in theirs.values()}
    ours = {
        (entry.kind, entry.reference, entry.instrument): entry
        for entry in entries
        if entry.kind in kinds and entry.cash(asset) != ZERO
    }
    found = []
    for item in {*ours, *theirs}:
        entry, line = ours.get(item), theirs.get(item)
        booked_here, booked_there = entry.cash(asset) if entry else None, line.amount if line else None
        if booked_here != booked_there:
            at = min(side.occurred_at for side in (entry, line) if side is not None)
            found.append(Disagreement(item, at, booked_here, booked_there))
    return sorted(found, key=lambda difference: (difference.occurred_at, difference.item))
