"""What is stored comes back as it was, so that a decision can be judged again bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.domain.advice import Advice, AdviceVerdict
from common.domain.codec import decode, encode
from common.domain.errors import InvalidInput
from common.domain.market import MarketState
from common.domain.order import OrderIntent
from common.domain.position import Position
from common.domain.risk.book import Book, HaltScope
from common.domain.risk.context import Proposal
from common.domain.risk.judge import judge
from common.domain.risk.limits import PROFILES, Limits
from common.domain.signal import Signal
from common.domain.tenant import Account
from tests.domain import risk_world as world
from tests.domain.risk_world import NOW, D
from tests.domain.test_exits import LONG
from tests.domain.test_order import INTENT

FULL_BOOK = replace(
    world.record(symbol_cooling_until={"ETH/USDT:USDT": NOW}, cooling_until=NOW, win_rate=D("0.5")),
    exposures=(world.exposure(), world.exposure(is_position=False)),
    halts=(world.halt(HaltScope.VENUE, "binance"),),
    quarantined=frozenset({"ETH/USDT:USDT", "ADA/USDT:USDT"}),
)
VALUES: list[tuple[type, Any]] = [
    (
        Signal,
        replace(world.SIGNAL, features={"rsi": 41.5}, exits=replace(world.SIGNAL.exits, max_hold=timedelta(hours=1))),
    ),
    (Advice, world.advice(AdviceVerdict.CONFIRM)),
    (MarketState, world.MARKET),
    (Book, FULL_BOOK),
    (Limits, PROFILES["scalper"]),
    (Account, replace(world.ACCOUNT_ROW, limits={"leverage_max": 2})),
    (Proposal, world.proposed()),
    (OrderIntent, INTENT),
    (Position, LONG),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[kind.__name__ for kind, _ in VALUES])
def test_a_stored_value_comes_back_as_it_was(kind: type, value: Any) -> None:
    assert decode(kind, json.loads(json.dumps(encode(value)))) == value


@given(st.sampled_from(sorted(PROFILES)), st.decimals("1000", "90000", places=2), st.booleans())
def test_stored_inputs_give_the_same_verdict_bit_for_bit(profile: str, equity: Any, broken: bool) -> None:
    book = replace(FULL_BOOK, equity=equity, halts=FULL_BOOK.halts * broken)
    limits = PROFILES[profile]
    proposal = world.proposed(book=book, limits=limits)
    first = judge(proposal, world.SIGNAL, None, world.MARKET, book, limits, now=NOW)
    stored = json.loads(json.dumps([encode(item) for item in (proposal, world.SIGNAL, world.MARKET, book, limits)]))
    kinds: tuple[type, ...] = (Proposal, Signal, MarketState, Book, Limits)
    read: list[Any] = [decode(kind, item) for kind, item in zip(kinds, stored, strict=True)]
    second = judge(read[0], read[1], None, *read[2:], now=NOW)
    assert second == first
    assert encode(second) == encode(first)


@dataclass(frozen=True)
class Odd:
    """Containers that no noun holds yet."""

    rows: list[UUID]
    either: int | str


def test_lists_come_back_and_a_type_with_two_meanings_is_refused() -> None:
    assert decode(list[UUID], encode([UUID(int=1)])) == [UUID(int=1)]
    with pytest.raises(InvalidInput, match="type"):
        decode(Odd, {"rows": [], "either": 1})


def test_numbers_that_are_none_are_kept_and_strangers_are_refused() -> None:
    assert encode(D("NaN")) == "NaN"
    assert decode(type(D(0)), "Infinity") == D("Infinity")
    with pytest.raises(InvalidInput, match="a domain value"):
        encode(object())
