"""The store itself: what breaks is told by what to do next, and is mended without a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from common.adapters.embedded import EmbeddedPostgres
from common.domain.errors import InvalidInput, OutcomeUnknown, Permanent, TradewindsError, Transient
from common.store import RoleName, Store, Timeouts, UnitOfWork, migrate
from tests.clocks import NOON
from tests.servers import Database
from tests.store.world import World, advice, signal

Connection = psycopg.Connection[Any]


def kill(root: Connection, uow: Any) -> None:
    """Cut the connection of an open unit of work, from the server's side."""
    root.execute("SELECT pg_terminate_backend(%s, 5000)", [uow.session.scalar("SELECT pg_backend_pid()")])


def kill_all(root: Connection) -> None:
    """Cut every connection of the store."""
    root.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'tradewinds_app'"
    )


def test_an_empty_tenant_is_not_a_tenant(store: Store) -> None:
    with pytest.raises(InvalidInput, match="tenant_id"):
        store.unit_of_work(cast(Any, ""))


def test_an_unknown_role_is_refused(books: Database) -> None:
    with pytest.raises(ValueError, match="tradewinds_root"):
        Store(books.url_app, role="tradewinds_root")


def test_every_session_acts_as_its_role_in_utc_and_within_its_limits(books: Database) -> None:
    opened = Store(
        books.url_app, timeouts=Timeouts(statement_ms_max=1234, lock_ms_max=234, idle_in_transaction_ms_max=34)
    )
    with opened.unit_of_work(None) as uow:
        row = uow.session.first(
            """
            SELECT current_user::text AS who, current_setting('TimeZone') AS zone,
                current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
                current_setting('idle_in_transaction_session_timeout') AS idle
            """
        )
    opened.close()
    assert row is not None
    assert tuple(row) == ("tradewinds_app", "UTC", "1234ms", "234ms", "34ms")


def test_a_unit_that_has_ended_does_nothing_more(world: World) -> None:
    with world.store.unit_of_work(None) as uow:
        uow.commit()
        with pytest.raises(Permanent, match="has ended"):
            uow.signals.add(signal())


def test_a_unit_that_raises_keeps_nothing(store: Store) -> None:
    def fail() -> None:
        with store.unit_of_work(None) as uow:
            uow.signals.add(signal())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with store.unit_of_work(None) as uow:
        assert uow.signals.get(signal().id) is None


def _writes(uow: UnitOfWork) -> None:
    uow.signals.add(signal())


def _asks_sqlalchemy(uow: UnitOfWork) -> None:
    uow.session.execute(text("SELECT 1"))


def _reads_bytes(uow: UnitOfWork) -> None:
    uow.candles.arrays("binance", ["BTC/USDT"], "1m", NOON, 10)


@pytest.mark.parametrize("use", [_writes, _asks_sqlalchemy, _reads_bytes])
def test_a_connection_lost_in_the_middle_is_worth_another_try(
    store: Store, root: Connection, use: Callable[[UnitOfWork], None]
) -> None:
    def lose() -> None:
        with store.unit_of_work(None) as uow:
            kill(root, uow)
            use(uow)

    with pytest.raises(Transient):
        lose()
    store.ping()


def test_a_view_of_all_tenants_that_loses_its_connection_is_worth_another_try(store: Store, root: Connection) -> None:
    def lose() -> None:
        with store.operator() as view:
            kill_all(root)
            view.subscriptions()

    with pytest.raises(Transient):
        lose()
    with store.operator() as view:
        assert not view.subscriptions()


def test_a_connection_lost_at_commit_leaves_the_outcome_unknown(store: Store, root: Connection) -> None:
    with store.unit_of_work(None) as uow:
        uow.signals.add(signal())
        kill(root, uow)
        with pytest.raises(OutcomeUnknown):
            uow.commit()
    store.ping()


def test_connections_that_died_in_the_pool_cost_one_try(store: Store, root: Connection, books: Database) -> None:
    with store.unit_of_work(None), store.unit_of_work(None):
        store.ping()
    kill_all(root)
    with pytest.raises(Transient):
        store.ping()
    for _ in range(3):
        store.ping()


def _lists_accounts(uow: UnitOfWork) -> None:
    uow.accounts.list()


@pytest.mark.parametrize("use", [_lists_accounts, _reads_bytes])
def test_the_pool_hears_of_dead_connections_from_the_driver_too(
    store: Store, root: Connection, use: Callable[[UnitOfWork], None]
) -> None:
    def look() -> None:
        with store.unit_of_work(uuid4()) as uow:
            use(uow)

    with store.unit_of_work(None), store.unit_of_work(None):
        look()
    kill_all(root)
    with pytest.raises(Transient):
        look()
    for _ in range(3):
        look()


def test_two_that_lock_crosswise_are_worth_another_try(world: World) -> None:
    """One of the two is chosen as the victim, and is told that it may try again."""
    lock = "SELECT FROM nonces WHERE nonce = :nonce FOR UPDATE"
    both_hold_one = Barrier(2)
    failures: list[TradewindsError] = []

    def cross(mine: str, other: str) -> None:
        try:
            with world.store.unit_of_work(None) as uow:
                uow.session.execute(lock, {"nonce": mine})
                both_hold_one.wait(10)
                uow.session.execute(lock, {"nonce": other})
        except TradewindsError as error:
            failures.append(error)

    with world.store.unit_of_work(None) as uow:
        uow.halts.use_nonce("a", NOON)
        uow.halts.use_nonce("b", NOON)
        uow.commit()
    pair = [Thread(target=cross, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    assert [type(failure) for failure in failures] == [Transient]


def test_a_statement_that_takes_too_long_is_worth_another_try(books: Database) -> None:
    hasty = Store(books.url_app, timeouts=Timeouts(statement_ms_max=20))
    with hasty.unit_of_work(None) as uow, pytest.raises(Transient, match="statement timeout"):
        uow.session.execute("SELECT pg_sleep(5)")
    hasty.close()


def test_a_pool_with_nothing_free_is_worth_another_try(books: Database) -> None:
    narrow = Store(books.url_app, pool_size=1, timeouts=Timeouts(pool_s_max=0.05))
    free = "no free database connection"
    with narrow.unit_of_work(None), narrow.unit_of_work(None), pytest.raises(Transient, match=free):
        narrow.ping()
    narrow.close()


def test_an_error_names_the_constraint_and_shows_no_value(store: Store) -> None:
    with store.unit_of_work(None) as uow:
        uow.advice.add(advice())
        with pytest.raises(Permanent, match=r"duplicate key .*\[advice_pkey\]") as refusal:
            uow.session.execute("INSERT INTO advice SELECT * FROM advice")
    assert str(advice().id) not in str(refusal.value)


def test_a_value_that_cannot_be_kept_is_a_permanent_error(store: Store) -> None:
    with store.unit_of_work(None) as uow, pytest.raises(Permanent):
        uow.signals.add(signal(features={"ratio": float("nan")}))


def test_nobodys_unit_has_no_tenants_lock(store: Store) -> None:
    with store.unit_of_work(None) as uow, pytest.raises(Permanent, match="belongs to a tenant"):
        uow.risk.lock()


def test_no_server_is_worth_another_try() -> None:
    nowhere = Store("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(Transient):
        nowhere.ping()
    with pytest.raises(Transient), nowhere.operator():
        nowhere.ping()
    nowhere.close()


def test_the_store_outlives_a_crash_of_its_server(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    first = postgres.start()
    url = first.superuser_dsn("postgres")
    migrate(url)
    store = Store(url, role=RoleName.APP)
    with store.unit_of_work(None) as uow:
        uow.signals.add(signal())
        uow.commit()
    first.kill()
    with pytest.raises(Transient):
        store.ping()
    with postgres.start() as second:
        assert second.superuser_dsn("postgres") == url
        with store.unit_of_work(None) as uow:
            assert uow.signals.get(signal().id) == signal()
    store.close()
