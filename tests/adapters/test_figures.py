"""A venue's figures of all instruments, sources beside it and its listing, by our own doors at the practice world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from common.adapters.ccxt_venue import CcxtFigures, CcxtMarketData, Connection, capability
from common.adapters.clock import FollowedClock
from common.adapters.public_sources import CoinGecko, CoinMarketCap, FearGreedIndex
from common.domain.errors import NotFound, Permanent, Transient
from common.domain.market import InstrumentStatus
from common.domain.sources import coin_of, coins_by_symbol, deviation_bps
from common.ports.sources import CoinSource, MarketFigures, MoodSource
from tests.simulator_process import SimulatorProcess, start

BTC, SOL = "BTC/USDT:USDT", "SOL/USDT:USDT"


@pytest.fixture(scope="module")
def practice() -> Iterator[SimulatorProcess]:
    """A practice world at the pace of life."""
    process = start(speed=1, symbols="BTCUSDT,SOLUSDT,XRPUSDT")
    yield process
    process.stop()


@pytest.fixture
def clock(practice: SimulatorProcess) -> FollowedClock:
    """The practice world's clock."""
    return FollowedClock(practice.url)


def connection(practice: SimulatorProcess) -> Connection:
    return Connection(capability("binanceusdm"), name="simulator", base_url=practice.url)


def test_figures_tell_price_book_and_turnover_of_every_instrument(
    practice: SimulatorProcess, clock: FollowedClock
) -> None:
    door: MarketFigures = CcxtFigures(connection(practice), clock)
    found = {item.symbol: item for item in door.figures()}
    assert set(found) == {BTC, SOL, "XRP/USDT:USDT"}
    for item in found.values():
        assert item.bid
        assert item.ask
        assert item.last
        assert item.turnover
        assert item.bid < item.ask
        assert abs(item.last / item.ask - 1) < Decimal("0.01")


def test_open_interest_is_money(practice: SimulatorProcess, clock: FollowedClock) -> None:
    door = CcxtFigures(connection(practice), clock)
    (bitcoin,) = [item for item in CcxtMarketData(connection(practice), clock).instruments() if item.symbol == BTC]
    told = Decimal(practice.call("GET", "/fapi/v1/openInterest?symbol=BTCUSDT")["openInterest"])
    found = door.open_interest(bitcoin, Decimal(2))
    assert found is not None
    assert abs(found / (told * 2) - 1) < Decimal("0.5")


def test_a_spot_venue_has_no_open_interest(practice: SimulatorProcess, clock: FollowedClock) -> None:
    link = connection(practice)
    spot = replace(link, capability=replace(link.capability, market_type="spot"))
    (bitcoin,) = [item for item in CcxtMarketData(link, clock).instruments() if item.symbol == BTC]
    assert CcxtFigures(spot, clock).open_interest(bitcoin, Decimal(2)) is None


def test_coins_cost_what_the_venue_says_until_a_fault_makes_them(
    practice: SimulatorProcess, clock: FollowedClock
) -> None:
    source: CoinSource = CoinGecko(practice.url, clock)
    market = CcxtMarketData(connection(practice), clock)
    solana = next(item for item in market.instruments() if item.symbol == SOL)
    last = market.market(solana).last
    assert last is not None
    same = coin_of(solana, coins_by_symbol(source.coins(500)))
    practice.fault("sources.price", "skew", params={"factor": 2}, match={"symbol": "SOLUSDT"}, count=1)
    other = coin_of(solana, coins_by_symbol(source.coins(500)))
    assert same is not None
    assert other is not None
    assert deviation_bps(last, same.price) < 200 < deviation_bps(last, other.price)
    assert [coin.symbol for coin in source.coins(1)] == ["BTC"]


def test_both_aggregators_tell_of_the_same_coins(practice: SimulatorProcess, clock: FollowedClock) -> None:
    gecko, cap = CoinGecko(practice.url, clock).coins(2), CoinMarketCap(practice.url, clock, "a key").coins(2)
    assert [coin.symbol for coin in cap] == [coin.symbol for coin in gecko] == ["BTC", "SOL"]
    assert all(deviation_bps(ours.price, theirs.price) < 50 for ours, theirs in zip(cap, gecko, strict=True))
    with pytest.raises(Permanent, match="API key missing"):
        CoinMarketCap(practice.url, clock, "").coins(1)


def test_a_rate_limit_of_the_aggregator_is_transient(practice: SimulatorProcess, clock: FollowedClock) -> None:
    practice.fault("sources.reply", "http", count=1)
    with pytest.raises(Transient, match="429"):
        CoinGecko(practice.url, clock).coins(1)


def test_the_index_has_one_value_a_day_from_midnight_on(practice: SimulatorProcess, clock: FollowedClock) -> None:
    source: MoodSource = FearGreedIndex(practice.url)
    moods = source.moods(3)
    assert len(moods) == 3
    assert all(mood.published_at.hour == mood.published_at.minute == 0 for mood in moods)
    assert moods[0].published_at.date() == clock.now().date()
    assert all(0 <= mood.value <= 100 and mood.label for mood in moods)


def test_a_listing_that_has_ended_is_not_listed_but_still_known(
    practice: SimulatorProcess, clock: FollowedClock
) -> None:
    from common.adapters.ccxt_venue.client import Clients

    link = connection(practice)
    market, clients = CcxtMarketData(link, clock), Clients(link, clock, None, None)
    fresh = CcxtMarketData(link, clock)
    listed = {item.symbol: item.status for item in market.instruments()}
    with clients.lease(5) as client:
        clients.with_markets(client)
        practice.call("POST", "/simulator/instruments", {"symbol": "XRPUSDT", "status": "CLOSE"})
        clients.with_markets(client, reload=True)
        assert "XRP/USDT:USDT" in client.markets
    assert "XRP/USDT:USDT" not in {item.symbol for item in market.instruments()}
    with pytest.raises(NotFound):
        fresh.book("XRP/USDT:USDT", 5)
    practice.call("POST", "/simulator/instruments", {"symbol": "XRPUSDT", "status": "TRADING"})
    assert {item.symbol: item.status for item in market.instruments()} == listed


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("BREAK", InstrumentStatus.HALTED),
        ("PRE_SETTLE", InstrumentStatus.HALTED),
        ("SETTLING", InstrumentStatus.DELISTED),
        ("TRADING", InstrumentStatus.TRADING),
    ],
)
def test_the_venues_word_for_a_listing_is_understood(
    practice: SimulatorProcess, clock: FollowedClock, word: str, status: InstrumentStatus
) -> None:
    practice.call("POST", "/simulator/instruments", {"symbol": "XRPUSDT", "status": word})
    found = {item.symbol: item.status for item in CcxtMarketData(connection(practice), clock).instruments()}
    assert found["XRP/USDT:USDT"] is status
