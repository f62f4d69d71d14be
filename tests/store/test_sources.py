"""Candidates, coins, moods and findings: kept, replaced and read back to the last digit."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from common.domain.candidates import Candidate, Cause, Exclusion
from common.domain.sources import Coin, Mood, PriceFinding
from common.store import Store
from tests.clocks import NOON

VENUE = "simulator"
DAY = timedelta(days=1)


def candidate(symbol: str, rank: int | None = None, excluded: Exclusion | None = None) -> Candidate:
    return Candidate(VENUE, symbol, rank, excluded, Decimal("12.5"), None, Decimal("1E+7"), Decimal(3), NOON)


def coin(name: str, cap: int, source: str = "coingecko") -> Coin:
    return Coin(source, name, name.upper(), Decimal("0.00000012"), Decimal(cap), Decimal(7), NOON)


def test_a_refresh_takes_the_place_of_the_one_before_at_its_venue(store: Store) -> None:
    out = Exclusion(Cause.TOO_QUIET, Decimal("0.001"), Decimal("0.003"), "fraction")
    with store.unit_of_work(None) as uow:
        uow.candidates.replace(VENUE, [candidate("OLD"), candidate("B", 2)])
        uow.candidates.replace("elsewhere", [])
        uow.candidates.replace(
            VENUE, [candidate("C", excluded=out), candidate("B", 2), candidate("A", 1), candidate("D")]
        )
        uow.commit()
    with store.unit_of_work(None) as uow:
        assert uow.candidates.list(VENUE) == [
            candidate("A", 1),
            candidate("B", 2),
            candidate("C", excluded=out),
            candidate("D"),
        ]
        assert uow.candidates.list("elsewhere") == []


def test_coins_of_one_source_are_replaced_together_and_read_largest_first(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        uow.coins.replace("coingecko", [coin("old", 1)])
        uow.coins.replace("another", [coin("btc", 2, "another")])
        uow.coins.replace("coingecko", [coin("eth", 1), coin("btc", 3), coin("btc", 3)])
        uow.commit()
    with store.unit_of_work(None) as uow:
        assert uow.coins.since(NOON) == [coin("btc", 3), coin("btc", 2, "another"), coin("eth", 1)]
        assert uow.coins.since(NOON + DAY) == []


def test_a_day_has_one_mood_the_latest_word_on_it(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        assert uow.moods.newest() is None
        uow.moods.save([Mood(NOON, 10, "Extreme Fear"), Mood(NOON + DAY, 60, "Greed")])
        uow.moods.save([Mood(NOON, 20, "Fear")])
        uow.commit()
    with store.unit_of_work(None) as uow:
        assert uow.moods.between(NOON, NOON) == [Mood(NOON, 20, "Fear")]
        assert [mood.value for mood in uow.moods.between(NOON - DAY, NOON + DAY)] == [20, 60]
        assert uow.moods.newest() == Mood(NOON + DAY, 60, "Greed")


def test_a_finding_is_kept_once_and_forgotten_in_its_time(store: Store) -> None:
    finding = PriceFinding(VENUE, "A", "coingecko", Decimal("1.5"), Decimal(1), Decimal(5000), NOON)
    with store.unit_of_work(None) as uow:
        assert uow.price_findings.add(finding)
        assert not uow.price_findings.add(finding)
        assert uow.price_findings.list(VENUE, NOON) == [finding]
        assert uow.price_findings.list(VENUE, NOON + DAY) == uow.price_findings.list("elsewhere", NOON) == []
        assert uow.price_findings.delete_before(NOON) == 0
        assert uow.price_findings.delete_before(NOON + DAY) == 1
