"""Closed positions are judged once, when ten bars have passed, by what was stored and by what came."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from common.domain.blunder import BlunderLabel, Grade, Reviewed
from common.domain.errors import InvalidInput, NotFound
from common.domain.market import Candle
from common.domain.position import Position
from common.services.read_accounting import read_blunders
from common.services.read_pages import decision_trail
from common.services.review_backtest import blunders, review_backtest
from common.services.review_positions import review_positions
from common.services.status import why
from tests.domain.test_backtest import Scripted, flat, scripted
from tests.services.venue import NOON, SOL, VENUE
from tests.services.world import FRAME, House, World

D = Decimal


def stopped_out(world: World, house: House, price: str = "97.77") -> Position:
    """A long position that was opened just after noon and left at its stop, a second later."""
    held = world.enter(house)
    world.move_price(price)
    world.visit(house)
    closed = world.position(house)
    assert closed is not None
    assert closed.id == held.id
    assert not closed.is_open
    return closed


def close_bars(world: World, close: str, count: int = 10) -> None:
    """Keep the bars from noon on, all closing at `close`."""
    price = D(close)
    bars = [
        Candle(NOON + number * FRAME.duration, NOON + (number + 1) * FRAME.duration, price, price, price, price, D(1))
        for number in range(count)
    ]
    with world.store.unit_of_work(None) as uow:
        uow.candles.save(VENUE, SOL, str(FRAME), bars)
        uow.commit()


def review_of(world: World, house: House, position: Position) -> Reviewed | None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        return uow.reviews.get(position.id)


def visit(world: World, house: House) -> int:
    return review_positions(world.fleet, *house.ids)


def test_a_trade_is_reviewed_once_ten_bars_have_passed(world: World, house: House) -> None:
    position = stopped_out(world, house)
    close_bars(world, "95")
    world.clock.advance(54 * 60)
    assert visit(world, house) == 0
    world.clock.advance(60)
    assert visit(world, house) == 1
    assert visit(world, house) == 0
    found = review_of(world, house, position)
    assert found is not None
    # Sized to the limit, for the stop is near.
    wrong = (BlunderLabel.OVERSIZED_POSITION, BlunderLabel.WRONG_DIRECTION, BlunderLabel.PREMATURE_EXIT)
    assert found.review.labels == wrong
    assert (found.review.severity, found.review.grade) == (60, Grade.MISTAKE)
    assert found.evidence.return_after == 95 / position.entry_price - 1
    assert found.evidence.planned_hold == timedelta(hours=1)
    assert found.evidence.spread_bps_max is not None
    assert world.audited(house, position.id)[-1] == "review"


def test_a_candle_that_is_not_there_is_not_held_against_the_trade(world: World, house: House) -> None:
    position = stopped_out(world, house)
    close_bars(world, "95", count=9)
    world.clock.advance(56 * 60)
    assert visit(world, house) == 1
    found = review_of(world, house, position)
    assert found is not None
    assert found.evidence.return_after is None
    assert BlunderLabel.WRONG_DIRECTION not in found.review.labels


def test_a_fill_far_from_what_was_judged_was_forbidden(world: World, house: House) -> None:
    # The price jumps while the order is under way.
    world.door_of(house).when["place"] = lambda: world.venue.prices.update({SOL: D("101.5")})
    position = world.enter(house)
    world.door_of(house).when.clear()
    world.move_price("97.77")
    world.visit(house)
    world.clock.advance(56 * 60)
    visit(world, house)
    found = review_of(world, house, position)
    assert found is not None
    assert found.evidence.was_forbidden
    assert found.review.grade is Grade.BLUNDER


def test_open_positions_wait_for_their_end(world: World, house: House) -> None:
    world.enter(house)
    world.clock.advance(3600)
    assert visit(world, house) == 0


def _forget(world: World, house: House, statement: str) -> None:
    with world.store.unit_of_work(house.tenant.id) as uow:
        uow.session.execute(statement)
        uow.commit()


def test_a_trade_whose_signal_or_inputs_are_not_kept_is_judged_by_the_rest(world: World, house: House) -> None:
    position = stopped_out(world, house)
    _forget(world, house, "UPDATE positions SET signal_id = NULL")
    assert visit(world, house) == 1
    found = review_of(world, house, position)
    assert found is not None
    assert (found.evidence.spread_bps_max, found.review.labels) == (None, (BlunderLabel.PREMATURE_EXIT,))


@pytest.mark.parametrize("statement", ["DELETE FROM decisions", """UPDATE decisions SET inputs = '{"reason": "x"}'"""])
def test_a_decision_that_was_never_judged_tells_nothing(world: World, house: House, root: Any, statement: str) -> None:
    position = stopped_out(world, house)
    root.execute("SET session_replication_role = replica")
    root.execute(statement)
    root.execute("SET session_replication_role = origin")
    world.clock.advance(56 * 60)
    assert visit(world, house) == 1
    found = review_of(world, house, position)
    assert found is not None
    assert found.evidence.largest_quantity is None


def test_what_another_has_reviewed_meanwhile_stays(world: World, house: House, monkeypatch: Any) -> None:
    position = stopped_out(world, house)
    world.clock.advance(56 * 60)
    visit(world, house)
    with world.store.unit_of_work(house.tenant.id) as uow:
        reviews = type(uow.reviews)
    monkeypatch.setattr(reviews, "due", lambda *_: [position])
    assert visit(world, house) == 0


def test_reviews_are_read_with_their_counts_and_positions(world: World, house: House) -> None:
    position = stopped_out(world, house)
    close_bars(world, "95")
    world.clock.advance(56 * 60)
    visit(world, house)
    found = read_blunders(world.fleet, house.tenant.id)
    assert (found["tenant"], found["reviewed"]) == ("harbour", 1)
    assert (found["grades"]["mistake"], found["labels"]["wrong_direction"]) == (1, 1)
    (row,) = found["reviews"]
    assert (row["position_id"], row["net_profit"]) == (str(position.id), format(position.net_profit, "f"))
    assert row["labels"] == ["oversized_position", "wrong_direction", "premature_exit"]
    decision = world.decision(house)
    assert decision is not None
    assert decision_trail(world.fleet, house.tenant.id, decision.id)["review"] == row
    (told,) = why(world.fleet, str(position.id))["reviews"]
    assert told["review"]["grade"] == "mistake"


def test_a_tenant_reads_only_its_own_reviews(world: World, house: House) -> None:
    stopped_out(world, house)
    world.clock.advance(56 * 60)
    visit(world, house)
    other = world.settle_in("meridian")
    assert read_blunders(world.fleet, other.tenant.id)["reviewed"] == 0
    with pytest.raises(InvalidInput, match="limit"):
        read_blunders(world.fleet, house.tenant.id, 0)
    with pytest.raises(NotFound):
        read_blunders(world.fleet, UUID(int=9))


@pytest.mark.parametrize(
    ("bars", "closes", "side", "is_wrong"),
    [
        # The entry fills in bar 21, so the tenth bar is the thirtieth.
        (40, {30: 98.0}, 1, True),
        (40, {30: 99.5}, 1, False),
        (40, {30: 98.0}, -1, False),
        (40, {31: 98.0}, 1, False),
        (30, {29: 98.0}, 1, False),
    ],
)
def test_a_backtests_trades_are_reviewed_by_the_same_rules(
    bars: int, closes: dict[int, float], side: int, is_wrong: bool
) -> None:
    columns = flat(bars, close=closes, low={bar: close - 0.1 for bar, close in closes.items()})
    result = scripted(columns, Scripted({20: side}, stop=50.0, leaves=(35,)))
    (found,) = review_backtest(result)
    assert (BlunderLabel.WRONG_DIRECTION in found.labels) is is_wrong
    counted = blunders(result)
    assert (counted["reviewed"], counted["labels"]["wrong_direction"]) == (1, int(is_wrong))
    assert sum(counted["grades"].values()) == 1
