"""Funding: every eight hours of venue time longs pay shorts, or shorts longs, at a rate known beforehand."""

import random
import zlib
from decimal import Decimal

from simulator.events import account_event
from simulator.ledger import book_income
from simulator.money import booked
from simulator.state import Change
from simulator.venue import Venue

FUNDING_MS = 8 * 3_600_000
INTEREST = Decimal("0.00010000")


def rate_at(venue: Venue, symbol: str, instant_ms: int) -> Decimal:
    """The rate paid at a funding instant, the same whenever it is asked for; 0.01 % in the middle, at most 0.3 %."""
    dice = random.Random(zlib.crc32(symbol.encode()) ^ instant_ms // FUNDING_MS << 8 ^ venue.market.feeds[symbol].seed)
    drawn = max(-0.003, min(0.003, dice.gauss(0.0001, 0.00012)))
    return Decimal(round(drawn * 10**8)).scaleb(-8)


def next_funding_ms(now_ms: int) -> int:
    """The funding instant after now."""
    return (now_ms // FUNDING_MS + 1) * FUNDING_MS


def pay_funding(venue: Venue, at_ms: int, change: Change) -> None:
    """Book the funding of every position at a funding instant."""
    for symbol in sorted(venue.holders):
        rate = rate_at(venue, symbol, at_ms)
        mark = venue.last_price(symbol, at_ms)
        for api_key in sorted(venue.holders[symbol]):
            account = venue.accounts[api_key]
            amount = booked(-account.position(symbol).qty * mark * rate)
            book_income(venue, account, "FUNDING_FEE", amount, symbol, at_ms, change)
            change.events.append((api_key, account_event(account, "FUNDING_FEE", amount, {symbol: mark}, at_ms, at_ms)))
