"""The probe against the practice venue in five natures: what each kind of venue does is found out, not typed in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ccxt
import pytest

from common.adapters.ccxt_venue import Connection
from common.adapters.ccxt_venue.capabilities import CAPABILITIES
from common.adapters.ccxt_venue.client import Guarded, Quiet, connect
from common.adapters.ccxt_venue.personalities import NAMES, practice_capability
from common.bootstrap import probe_practice
from common.domain.capability import CapabilityRecord, CaseOutcome
from common.domain.errors import NotFound
from common.ports.venue import Credentials
from tests.clocks import ManualClock
from tests.simulator_process import SimulatorProcess, start

CASES = 61


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorProcess]:
    process = start(speed=60, symbols="BTCUSDT")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def records(world: SimulatorProcess) -> dict[str, CapabilityRecord]:
    return {name: probe_practice(world.url, name) for name in NAMES}


def failed(record: CapabilityRecord) -> dict[int, str]:
    return {case.number: case.name for case in record.cases if case.outcome is CaseOutcome.FAILED}


@pytest.mark.parametrize("name", NAMES)
def test_every_nature_is_asked_all_the_numbered_cases(records: dict[str, CapabilityRecord], name: str) -> None:
    assert [case.number for case in records[name].cases] == list(range(1, CASES + 1))
    assert len({case.name for case in records[name].cases}) == CASES


@pytest.mark.parametrize("name", ["binance-futures", "binance-spot", "bybit", "coinbase"])
def test_these_natures_are_such_that_our_orders_are_safe_with_them(
    records: dict[str, CapabilityRecord], name: str
) -> None:
    assert failed(records[name]) == {}
    assert records[name].is_passing


def test_hyperliquid_fails_because_its_ids_bear_no_prefix_to_adopt_by(records: dict[str, CapabilityRecord]) -> None:
    assert list(failed(records["hyperliquid"])) == [13]
    assert not records["hyperliquid"].is_passing


@pytest.mark.parametrize(
    ("name", "finding", "found"),
    [
        ("binance-futures", "id_unique", "among open orders"),
        ("binance-spot", "id_unique", "among open orders"),
        ("bybit", "id_unique", "for ever"),
        ("hyperliquid", "id_unique", "not at all"),
        ("coinbase", "id_unique", "not at all"),
        ("binance-futures", "acknowledgement", "with fills"),
        ("bybit", "acknowledgement", "before fills are known"),
        ("binance-futures", "refusals", "by code"),
        ("hyperliquid", "refusals", "by text: held in doubt until window and horizon are over"),
        ("hyperliquid", "id", "hashed to what the venue takes"),
        ("coinbase", "id", "up to 128 characters"),
    ],
)
def test_what_differs_is_found_out(records: dict[str, CapabilityRecord], name: str, finding: str, found: str) -> None:
    assert records[name].findings[finding] == found


def test_bybits_orders_are_seen_only_a_while_after_their_acknowledgement(
    records: dict[str, CapabilityRecord],
) -> None:
    assert int(records["bybit"].findings["visible_after_ms"]) >= 45
    assert records["bybit"].venue == "simulator:bybit"


def test_the_unified_id_field_that_coinbase_drops_is_noticed(
    world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive = practice_capability("binance-futures")
    monkeypatch.setattr("common.bootstrap.practice_capability", lambda _: naive)
    record = probe_practice(world.url, "coinbase", quick=True)
    assert 7 in failed(record)
    assert not record.is_passing


def test_the_quick_probe_leaves_the_account_as_it_was_and_is_quick(world: SimulatorProcess) -> None:
    began = time.process_time()
    record = probe_practice(world.url, quick=True)
    assert failed(record) == {}
    assert len(record.cases) >= 20
    assert time.process_time() - began < 1.0


def test_a_nature_that_nobody_knows_is_named() -> None:
    with pytest.raises(NotFound, match="there is: binance-futures"):
        practice_capability("nasdaq")


def test_a_venue_that_breaks_in_the_middle_fails_what_was_not_reached(world: SimulatorProcess) -> None:
    world.fault("rest.before_accept", "http", params={"answer": "unknown"}, match={"method": "DELETE"}, count=1000)
    try:
        record = probe_practice(world.url, quick=True)
    finally:
        world.heal()
    assert not record.is_passing
    assert any(case.seen.startswith("not reached: Transient") for case in record.cases)


# What leaves on our users' behalf -------------------------------------------------------------------------------------

KEY, WALLET = "0x" + "11" * 32, "0x" + "22" * 20
MARKETS = {"hyperliquid": ("BTC/USDC:USDC", "0"), "aster": ("BTC/USDT:USDT", "BTCUSDT")}
FORBIDDEN = ("approvebuilder", "setreferrer", "ccxt1", '"builder"', "builder=", "/builder", "referral")


@pytest.mark.parametrize("venue", sorted(CAPABILITIES))
@pytest.mark.parametrize("mixin", [Guarded, Quiet])
def test_ccxts_own_retries_are_off(venue: str, mixin: type[Quiet]) -> None:
    row = CAPABILITIES[venue]
    client = connect(getattr(ccxt, row.ccxt_id), mixin, Connection(row, venue), ManualClock())
    assert client.options["maxRetriesOnFailure"] == 0
    assert client.handle_option_integer_and_params({}, "createOrder", "maxRetriesOnFailure", 0)[0] == 0


@pytest.mark.parametrize("venue", sorted(MARKETS))
def test_our_clients_sign_no_fee_approval_no_builder_and_no_referrer(venue: str) -> None:
    row = CAPABILITIES[venue]
    link = Connection(row, venue, is_paced=False)
    client = connect(getattr(ccxt, row.ccxt_id), Guarded, link, ManualClock(), Credentials(WALLET, KEY, {}))
    sent = used(client, venue)
    assert "order" in sent
    assert [word for word in FORBIDDEN if word in sent] == []


@pytest.mark.parametrize("venue", sorted(MARKETS))
def test_the_stub_would_have_seen_what_plain_ccxt_signs(venue: str) -> None:
    client = getattr(ccxt, CAPABILITIES[venue].ccxt_id)({"privateKey": KEY, "walletAddress": WALLET})
    client.number = str
    assert "approvebuilder" in used(client, venue)


def used(client: Any, venue: str) -> str:
    """Everything that `client` sends for its first balance and its first order, in lower case; a stub answers."""
    symbol, identity = MARKETS[venue]
    client.set_markets([market(symbol, identity)])
    wire: list[str] = []

    def fetch(url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
        wire.append(f"{method} {url} {headers} {body}")
        resting = {"statuses": [{"resting": {"oid": 1}}]}
        return [] if "v3/builder" in url else {"status": "ok", "response": {"type": "default", "data": resting}}

    client.fetch = fetch
    client.initialize_client()
    client.create_order(symbol, "limit", "buy", "0.01", "100.0")
    return " ".join(wire).lower()


def market(symbol: str, identity: str) -> dict[str, Any]:
    """A perpetual as ccxt keeps it."""
    base, _, rest = symbol.partition("/")
    quote = rest.partition(":")[0]
    names = {"id": identity, "baseId": identity, "lowercaseId": identity, "symbol": symbol, "base": base}
    names |= {"quote": quote, "settle": quote, "quoteId": quote, "settleId": quote, "type": "swap"}
    flags = {"spot": False, "margin": False, "swap": True, "future": False, "option": False, "active": True}
    flags |= {"contract": True, "linear": True, "inverse": False}
    limits = {"leverage": {}, "amount": {"min": 0.001}, "price": {}, "cost": {}}
    grid = {"precision": {"amount": 0.001, "price": 0.1}, "limits": limits, "contractSize": 1.0}
    return names | flags | grid | {"info": {"filters": [], "orderTypes": ["LIMIT"], "szDecimals": "3"}}
