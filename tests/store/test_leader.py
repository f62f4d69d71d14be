"""Leadership: one leader of a name, until it lets go or its connection dies."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from common.domain.errors import Transient
from common.store import Store
from tests.servers import Database, cut_leaders

Connection = psycopg.Connection[Any]


def test_one_leads_until_it_lets_go(store: Store) -> None:
    lead = store.try_lead("beat")
    assert lead is not None
    assert store.try_lead("beat") is None
    assert lead.holds()
    lead.release()
    heir = store.try_lead("beat")
    assert heir is not None
    heir.release()


def test_every_name_has_a_leader_of_its_own(store: Store) -> None:
    first, second = store.try_lead("beat"), store.try_lead("stream")
    assert first is not None
    assert second is not None
    first.release()
    second.release()


def test_a_leader_whose_connection_died_leads_no_more(store: Store, root: Connection, books: Database) -> None:
    rival = Store(books.url_app)
    lead = store.try_lead("beat")
    assert lead is not None
    cut_leaders(root)
    assert not lead.holds()
    heir = rival.try_lead("beat")
    assert heir is not None
    lead.release()
    assert heir.holds()
    heir.release()
    rival.close()


def test_nobody_leads_without_a_database() -> None:
    nowhere = Store("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(Transient):
        nowhere.try_lead("beat")
    nowhere.close()


def test_many_names_are_led_on_one_connection_each_by_one_only(store: Store) -> None:
    ours, theirs = store.leases(), store.leases()
    assert [ours.take("a"), ours.take("b"), ours.take("a")] == [True, True, True]
    assert [theirs.take("a"), theirs.take("c")] == [False, True]
    ours.give("a")
    ours.give("never taken")
    assert theirs.take("a")
    assert sorted(ours.held) == ["b"]
    assert sorted(theirs.held) == ["a", "c"]
    ours.close()
    assert theirs.take("b")
    theirs.close()


def test_leases_end_with_their_connection(store: Store, root: Connection, books: Database) -> None:
    rival = Store(books.url_app)
    ours, theirs = store.leases(), rival.leases()
    assert ours.holds()
    assert ours.take("a")
    cut_leaders(root)
    with pytest.raises(Transient):
        ours.take("b")
    assert ours.held == frozenset()
    assert theirs.take("a")
    cut_leaders(root)
    assert not theirs.holds()
    assert theirs.held == frozenset()
    ours.close()
    last = rival.leases()
    assert last.take("c")
    cut_leaders(root)
    last.close()
    theirs.close()
    rival.close()


def test_nobody_takes_leases_without_a_database() -> None:
    nowhere = Store("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(Transient):
        nowhere.leases()
    nowhere.close()
