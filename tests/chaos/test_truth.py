"""The statement of the venue against the ledger's rows: every difference is seen and named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from chaos import truth
from chaos.halts import Span
from chaos.tenants import BALANCE, POSITIONS_MAX
from chaos.truth import Row
from common.domain.order import OrderStatus as S
from common.domain.risk.book import HaltMode, HaltScope

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def order(client: str = "twe1", status: str = "FILLED", filled: str = "2", **changes: Any) -> dict[str, Any]:
    return {"clientOrderId": client, "status": status, "executedQty": filled, "algoId": None, "time": 0} | changes


def algo(client: str = "tws1", **changes: Any) -> dict[str, Any]:
    plain = {"clientAlgoId": client, "algoId": 7, "algoStatus": "NEW", "symbol": "BTCUSDT", "side": "SELL"}
    return plain | {"quantity": "2", "reduceOnly": True} | changes


def fill(number: int = 1, side: str = "BUY", symbol: str = "BTCUSDT", qty: str = "2") -> dict[str, Any]:
    return {
        "tradeId": number, "symbol": symbol, "side": side, "qty": qty, "price": "100", "fee": "0.1", "time": number
    }  # fmt: skip


def told(**changes: Any) -> dict[str, Any]:
    """A venue that filled one entry of ours and holds its stop."""
    plain: dict[str, Any] = {
        "orders": [order()],
        "algo_orders": [algo()],
        "fills": [fill()],
        "positions": [{"symbol": "BTCUSDT", "qty": "2"}],
        "balances": [{"wallet": str(BALANCE)}],
        "income": [{"incomeType": "TRANSFER", "income": str(BALANCE)}, {"incomeType": "COMMISSION", "income": "-0.1"}],
    }
    return plain | changes


def row(client: str = "twe1", status: S = S.FILLED, filled: str = "2", role: str = "entry") -> Row:
    return Row(client, role, status, Decimal(2), Decimal(filled), "BTC/USDT:USDT", NOON, "dice")


OURS = {"twe1": row(), "tws1": row("tws1", S.ACCEPTED, "0", "stop")}
BOOKED = [("1", "BTC/USDT:USDT", Decimal(2), Decimal(100), Decimal("0.1"))]


def laws(statement: dict[str, Any], ours: dict[str, Row] = OURS, booked: list[Any] = BOOKED) -> set[str]:
    """Numbers of the laws that do not hold."""
    found = [
        *truth._placed_once(statement),
        *truth._orders(statement, ours),
        *truth._fills(statement, booked),
        *truth._protection(statement),
        *truth._limits(statement, ours),
    ]
    return {text.partition(":")[0] for text in found}


def test_books_that_agree_break_no_law() -> None:
    assert laws(told()) == set()


@pytest.mark.parametrize(
    ("statement", "law"),
    [
        (told(orders=[order(), order()]), "I2"),
        (told(orders=[order(), order("twe9")]), "I3"),
        (told(orders=[]), "I4"),
        (told(orders=[order(filled="1")]), "I4"),
        (told(orders=[order(status="PARTIALLY_FILLED")]), "I4"),
        (told(algo_orders=[algo(algoStatus="CANCELED")]), "I4"),
        (told(fills=[fill(), fill(2)]), "I5"),
        (told(fills=[]), "I5"),
        (told(algo_orders=[algo(quantity="1")]), "I8"),
        (told(algo_orders=[algo(side="BUY")]), "I8"),
        (told(positions=[]), "I8"),
        (told(fills=[fill(n, symbol=f"S{n}") for n in range(POSITIONS_MAX + 1)]), "I6"),
    ],
)
def test_each_difference_breaks_its_law(statement: dict[str, Any], law: str) -> None:
    assert law in laws(statement)


def test_an_order_the_ledger_believes_was_never_placed_must_not_be_there() -> None:
    assert laws(told(), OURS | {"twe1": row(status=S.NOT_PLACED)}) == {"I4"}


def test_a_trade_booked_twice_is_seen() -> None:
    assert laws(told(), booked=BOOKED * 2) == {"I5"}


def test_money_is_reckoned_to_the_penny_once_nothing_is_held() -> None:
    flat = told(positions=[])
    wallet = Decimal(flat["balances"][0]["wallet"])
    assert list(truth._cash(flat, wallet + Decimal("0.009"))) == []
    assert len(list(truth._cash(flat, wallet + Decimal("0.02")))) == 1
    assert list(truth._cash(told(), wallet + 1)) == []


@pytest.fixture
def halted() -> Callable[[int, datetime], list[str]]:
    """What is said of an entry accepted at a millisecond of venue time and submitted at an instant, halted from noon on."""
    from types import SimpleNamespace
    from uuid import UUID

    from chaos.halts import Halts

    noon_ms = int(NOON.timestamp() * 1000)
    span = Span(HaltScope.PLATFORM, "", HaltMode.HALT_NEW, noon_ms, noon_ms + 600_000)
    world = SimpleNamespace(halts=Halts([span]), options=SimpleNamespace(speed=60.0))
    account = SimpleNamespace(tenant_id=UUID(int=1))

    def judge(after_ms: int, submitted: datetime) -> list[str]:
        entry = Row("twe1", "entry", S.FILLED, Decimal(2), Decimal(2), "BTC/USDT:USDT", submitted, "dice")
        return list(truth._halted(world, account, told(orders=[order(time=noon_ms + after_ms)]), {"twe1": entry}))

    return judge


def test_an_entry_submitted_after_a_halt_is_a_violation(halted: Callable[[int, datetime], list[str]]) -> None:
    later = datetime.fromtimestamp(NOON.timestamp() + 30, UTC)
    assert [text[:2] for text in halted(60_000, later)] == ["I9"]


def test_an_entry_that_had_left_before_the_halt_may_arrive_within_its_window(
    halted: Callable[[int, datetime], list[str]],
) -> None:
    before = datetime.fromtimestamp(NOON.timestamp() - 30, UTC)
    assert halted(60_000, before) == []
    assert [text[:2] for text in halted(590_000, before)] == ["I9"]


def test_an_entry_accepted_after_the_lift_is_nobodys_business(halted: Callable[[int, datetime], list[str]]) -> None:
    assert halted(700_000, NOON) == []
