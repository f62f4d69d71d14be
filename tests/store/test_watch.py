"""What is watched: strangers' orders, equity, heartbeats and the bearers of tokens."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from common.domain.errors import InvalidInput, Permanent
from common.store import Bearer, Heartbeat, QuarantinedOrder, RoleName, Store
from tests.clocks import NOON
from tests.servers import Database
from tests.store.world import SYMBOL, World

MINUTE = timedelta(minutes=1)


def test_a_stranger_is_noticed_once_and_stays_until_somebody_explains_it(world: World) -> None:
    account = world.ours.account.id
    stranger = QuarantinedOrder(account, SYMBOL, "v-1", "web_abc", "none of ours", NOON)
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.quarantine.add(account, SYMBOL, "v-1", "web_abc", "none of ours", NOON)
        assert not uow.quarantine.add(account, SYMBOL, "v-1", "web_abc", "again", NOON + MINUTE)
        assert uow.quarantine.list(account) == [stranger]
        assert uow.quarantine.clear(account, "v-1", "operator", NOON + MINUTE)
        assert not uow.quarantine.clear(account, "v-1", "operator", NOON + MINUTE)
        assert uow.quarantine.list(account) == []
        assert not uow.quarantine.add(account, SYMBOL, "v-1", "web_abc", "again", NOON + MINUTE)


def test_equity_is_a_curve(world: World) -> None:
    account = world.ours.account.id
    with world.store.unit_of_work(world.ours.id) as uow:
        assert uow.equity.latest(account) is None
        for minute, equity in enumerate((100, 110, 105)):
            uow.equity.snapshot(account, Decimal(equity), Decimal(100), Decimal(5), Decimal(3), NOON + minute * MINUTE)
        uow.equity.snapshot(account, Decimal(106), Decimal(100), Decimal(6), Decimal(3), NOON + 2 * MINUTE)
        assert [point.equity for point in uow.equity.list(account)] == [106, 110, 100]
        assert [point.equity for point in uow.equity.list(before=NOON + MINUTE)] == [100]
        latest = uow.equity.latest(account)
        uow.commit()
    assert latest is not None
    assert (latest.tenant_id, latest.account_id, latest.occurred_at) == (world.ours.id, account, NOON + 2 * MINUTE)
    with world.store.unit_of_work(None) as uow:
        assert uow.prune({"equity": NOON + MINUTE}) == {"equity": 1}


def test_a_heart_beats_in_one_place(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        uow.heartbeats.beat("w1", "risk.evaluate", "abc", NOON)
        uow.heartbeats.beat("w1", "risk.evaluate", "abd", NOON + MINUTE)
        uow.heartbeats.beat("w0", "llm.confirm", "abd", NOON)
        assert uow.heartbeats.list() == [
            Heartbeat("w0", "llm.confirm", "abd", NOON),
            Heartbeat("w1", "risk.evaluate", "abd", NOON + MINUTE),
        ]
        assert uow.prune({"heartbeats": NOON + MINUTE}) == {"heartbeats": 1}


def test_only_what_may_be_forgotten_is_forgotten(store: Store) -> None:
    known = "equity, heartbeats, jobs, market_snapshots, nonces"
    with store.unit_of_work(None) as uow, pytest.raises(InvalidInput, match=known):
        uow.prune({"fills": NOON})


def test_a_token_opens_its_own_tenants_door(world: World, books: Database) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.tokens.add(b"hash of ours", world.ours.id, "dashboard", ["read", "halt"], NOON)
        uow.commit()
    with world.store.unit_of_work(None) as uow:
        uow.tokens.add(b"hash of the operator", None, "dashboard", ["read"], NOON)
        uow.commit()
    api = Store(books.url_app, role=RoleName.API)
    with api.unit_of_work(None) as uow:
        assert uow.tokens.find(b"hash of ours") == Bearer(world.ours.id, "dashboard", frozenset({"read", "halt"}))
        assert uow.tokens.find(b"hash of the operator") == Bearer(None, "dashboard", frozenset({"read"}))
        assert uow.tokens.find(b"hash of nobody") is None
    api.close()


def test_a_revoked_token_opens_nothing(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.tokens.add(b"hash", world.ours.id, "dashboard", ["read"], NOON)
        assert uow.tokens.revoke("dashboard", NOON)
        assert not uow.tokens.revoke("dashboard", NOON)
        uow.commit()
    with world.store.unit_of_work(None) as uow:
        assert uow.tokens.find(b"hash") is None


def test_a_tenant_names_a_token_once(world: World) -> None:
    with world.store.unit_of_work(world.ours.id) as uow:
        uow.tokens.add(b"one", world.ours.id, "dashboard", [], NOON)
        with pytest.raises(Permanent, match="tokens_tenant_id_name_key"):
            uow.tokens.add(b"two", world.ours.id, "dashboard", [], NOON)
