"""CoinGecko, CoinMarketCap and the fear-and-greed index over the wire: read as published, bounded, and errors in our words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from common.adapters.public_sources import CoinGecko, CoinMarketCap, FearGreedIndex, asking
from common.domain.errors import Permanent, Transient
from tests.adapters.scripted_server import Answer, Request, ScriptedServer
from tests.clocks import ManualClock

MARKETS, LISTINGS, FNG = "/api/v3/coins/markets", "/v1/cryptocurrency/listings/latest", "/fng/"
SECRET = "CG-key-of-a-test"


def row(name: str = "bitcoin", **changes: Any) -> dict[str, Any]:
    """A row as CoinGecko documents it."""
    found: dict[str, Any] = {
        "id": name, "symbol": name[:3], "name": name.title(), "image": "https://…", "current_price": 70187.5,
        "market_cap": 1381651251183, "market_cap_rank": 1, "total_volume": 20154184933, "high_24h": 70215,
        "last_updated": "2024-04-07T16:49:31.736Z",
    }  # fmt: skip
    return found | changes


def test_coins_are_read_with_their_digits(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("GET", MARKETS, Answer(body=json.dumps([row(current_price=0.00001234)])))
    (coin,) = CoinGecko(server.url + "/", clock).coins(10)
    assert (coin.source, coin.coin, coin.symbol) == ("coingecko", "bitcoin", "BIT")
    assert [coin.price, coin.market_cap, coin.volume] == [Decimal("0.00001234"), 1381651251183, 20154184933]
    assert coin.occurred_at == datetime(2024, 4, 7, 16, 49, 31, 736_000, tzinfo=UTC)


def test_the_question_is_the_one_that_is_documented(server: ScriptedServer, clock: ManualClock) -> None:
    server.on("GET", MARKETS, Answer(body=[]))
    CoinGecko(server.url, clock, SECRET).coins(100)
    (request,) = server.asked("GET", MARKETS)
    assert request.query == {
        "vs_currency": "usd", "order": "market_cap_desc", "per_page": "100", "page": "1", "sparkline": "false",
    }  # fmt: skip
    assert request.headers["x-cg-demo-api-key"] == SECRET


def test_a_paid_key_goes_into_the_header_of_its_host(clock: ManualClock) -> None:
    assert CoinGecko("https://pro-api.coingecko.com", clock, SECRET)._headers == {"x-cg-pro-api-key": SECRET}
    assert CoinGecko("https://api.coingecko.com", clock)._headers == {}


def test_many_coins_are_asked_for_page_by_page_until_a_page_is_short(
    server: ScriptedServer, clock: ManualClock
) -> None:
    def page(request: Request) -> Answer:
        first = (int(request.query["page"]) - 1) * 250
        return Answer(body=[row(f"coin{number}") for number in range(first, min(first + 250, 300))])

    server.on("GET", MARKETS, page)
    assert len(CoinGecko(server.url, clock).coins(900)) == 300
    assert [request.query["page"] for request in server.requests] == ["1", "2"]
    assert len(CoinGecko(server.url, clock).coins(260)) == 260


def test_a_coin_without_a_price_is_left_out_and_one_without_the_rest_is_not(
    server: ScriptedServer, clock: ManualClock
) -> None:
    bare = row("bare", market_cap=None, total_volume=None, last_updated=None)
    server.on("GET", MARKETS, Answer(body=[row(current_price=None), row("zero", current_price=0), bare]))
    (coin,) = CoinGecko(server.url, clock).coins(10)
    assert (coin.coin, coin.occurred_at) == ("bare", clock.now())
    assert coin.market_cap == coin.volume == 0


def listed(slug: str = "bitcoin", **quote: Any) -> dict[str, Any]:
    """A row as CoinMarketCap documents it."""
    told = {
        "price": 9283.92, "volume_24h": 7155680000, "percent_change_24h": 0.518894, "market_cap": 158055024432,
        "last_updated": "2024-08-09T22:53:32.000Z",
    }  # fmt: skip
    return {"id": 1, "name": slug.title(), "symbol": slug[:3], "slug": slug, "quote": {"USD": told | quote}}


def test_listings_are_asked_for_with_the_key_and_read_with_their_digits(
    server: ScriptedServer, clock: ManualClock
) -> None:
    rows = [listed(price=0.00001234), listed("none", price=None), listed("bare", market_cap=None, last_updated=None)]
    server.on("GET", LISTINGS, Answer(body={"status": {"error_code": 0}, "data": rows}))
    coin, bare = CoinMarketCap(server.url + "/", clock, SECRET).coins(10)
    assert (coin.source, coin.coin, coin.symbol) == ("coinmarketcap", "bitcoin", "BIT")
    assert [coin.price, coin.market_cap, coin.volume] == [Decimal("0.00001234"), 158055024432, 7155680000]
    assert coin.occurred_at == datetime(2024, 8, 9, 22, 53, 32, tzinfo=UTC)
    assert bare.market_cap == 0
    assert bare.occurred_at == clock.now()
    (request,) = server.asked("GET", LISTINGS)
    assert request.query == {"start": "1", "limit": "10", "convert": "USD", "sort": "market_cap"}
    assert request.headers["x-cmc_pro_api_key"] == SECRET


def test_a_key_that_is_refused_is_permanent_and_not_told(server: ScriptedServer, clock: ManualClock) -> None:
    said = {"status": {"error_code": 1001, "error_message": "This API Key is invalid."}}
    server.on("GET", LISTINGS, Answer(401, said))
    with pytest.raises(Permanent, match="This API Key is invalid") as refusal:
        CoinMarketCap(server.url, clock, SECRET).coins(1)
    assert SECRET not in str(refusal.value)


def test_the_index_is_read_as_it_is_published(server: ScriptedServer) -> None:
    data = [
        {"value": "40", "value_classification": "Fear", "timestamp": "1551157200", "time_until_update": "68499"},
        {"value": "47", "value_classification": "Neutral", "timestamp": "1551070800"},
        {"value": "9", "value_classification": "Extreme Fear", "timestamp": "1550984400"},
    ]
    body = {"name": "Fear and Greed Index", "data": data, "metadata": {"error": None}}
    server.on("GET", FNG, Answer(body=body))
    moods = FearGreedIndex(server.url).moods(2)
    assert [(mood.value, mood.label) for mood in moods] == [(40, "Fear"), (47, "Neutral")]
    assert moods[0].published_at == datetime(2019, 2, 26, 5, tzinfo=UTC)
    assert server.requests[0].query == {"limit": "2", "format": "json"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {}),
        Answer(429, {"status": {"error_code": 429, "error_message": "slow down"}}),
        Answer(408, ""),
        Answer(reset=True),
        Answer(200, "<html>"),
        Answer(200, {"data": [{"value": "140", "timestamp": "1"}]}),
        Answer(200, {"data": [{"value": "many", "timestamp": "1"}]}),
        Answer(200, {"data": [{"value": "5", "timestamp": "99999999999999"}]}),
        Answer(200, []),
    ],
)
def test_what_may_be_better_next_time_is_transient(server: ScriptedServer, answer: Answer) -> None:
    server.on("GET", FNG, answer)
    with pytest.raises(Transient, match=r"alternative\.me"):
        FearGreedIndex(server.url).moods(1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(401, {"status": {"error_code": 10002, "error_message": "API Key Missing"}}), "API Key Missing"),
        (Answer(422, {"error": "invalid vs_currency"}), "invalid vs_currency"),
        (Answer(404, "<html>"), "no reason that can be read"),
        (Answer(403, []), "no reason given"),
        (Answer(302, ""), "302"),
    ],
)
def test_what_asking_again_cannot_mend_is_permanent_and_says_why(
    server: ScriptedServer, clock: ManualClock, answer: Answer, said: str
) -> None:
    server.on("GET", MARKETS, answer)
    with pytest.raises(Permanent, match=said) as refusal:
        CoinGecko(server.url, clock, SECRET).coins(1)
    assert SECRET not in str(refusal.value)


def test_a_source_that_hangs_is_given_up(server: ScriptedServer) -> None:
    server.on("GET", FNG, Answer(hang=True))
    with pytest.raises(Transient, match="does not answer"):
        FearGreedIndex(server.url, timeout_s=0.2).moods(1)


def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_BYTES_MAX", 1000)
    server.on("GET", FNG, Answer(body={"data": [], "padding": "x" * 2000}))
    with pytest.raises(Transient, match="more than 1000 bytes"):
        FearGreedIndex(server.url).moods(1)
