"""Performance and books over HTTP: each tenant its own by its token, the operator whom it names."""

from __future__ import annotations

import pytest

from common.services.reconcile_cash import reconcile_cash
from common.services.review_positions import review_positions
from tests.api.conftest import Caller
from tests.services.world import House, World

NOUNS = ("performance", "blunders", "feedback", "statements")


@pytest.fixture
def traded(world: World, house: House, neighbours: House) -> None:
    """Both tenants were stopped out of a position, and everything was booked and reviewed."""
    for each in (house, neighbours):
        reconcile_cash(world.fleet, *each.ids)
    world.enter(house)
    world.move_price("97.77")
    for each in (house, neighbours):
        world.visit(each)
    world.clock.advance(56 * 60)
    for each in (house, neighbours):
        world.visit(each)
        reconcile_cash(world.fleet, *each.ids)
        review_positions(world.fleet, *each.ids)


@pytest.mark.parametrize("noun", NOUNS)
def test_nothing_is_told_without_a_token(stranger: Caller, noun: str) -> None:
    assert stranger.get(f"/api/v1/{noun}").status_code == 401


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize("noun", NOUNS)
def test_a_tenant_sees_itself_and_the_operator_whom_it_names(tenant: Caller, operator: Caller, noun: str) -> None:
    own, theirs = tenant.get(f"/api/v1/{noun}"), operator.get(f"/api/v1/{noun}", tenant="meridian")
    assert (own.status_code, own.json()["tenant"]) == (200, "harbour"), own.text
    assert (theirs.status_code, theirs.json()["tenant"]) == (200, "meridian")


@pytest.mark.parametrize("noun", NOUNS)
def test_a_tenant_cannot_name_another_and_the_operator_must_name_one(
    tenant: Caller, operator: Caller, neighbours: House, noun: str
) -> None:
    named = tenant.get(f"/api/v1/{noun}", tenant="meridian")
    assert (named.status_code, named.json()["code"]) == (403, "operator_only")
    unnamed = operator.get(f"/api/v1/{noun}")
    assert (unnamed.status_code, unnamed.json()["code"]) == (422, "tenant_missing")
    assert operator.get(f"/api/v1/{noun}", tenant="nobody").status_code == 404


@pytest.mark.usefixtures("traded")
def test_figures_are_text_where_they_are_money(tenant: Caller) -> None:
    told = tenant.get("/api/v1/performance", days=30, risk_free="0.02").json()
    assert (told["trades"], told["wins"], told["win_rate"], told["risk_free"]) == (1, 0, "0", "0.02")
    assert told["by_exit"]["stop"]["net_profit"] == told["net_profit"] == told["pnl"]["day"]
    assert told["by_symbol"]["SOL/USDT:USDT"]["trades"] == 1
    assert len(told["daily_profit"]) == 30


@pytest.mark.usefixtures("traded")
def test_reviews_and_books_tell_what_they_rest_on(tenant: Caller) -> None:
    blunders = tenant.get("/api/v1/blunders").json()
    assert (blunders["reviewed"], blunders["labels"]["premature_exit"]) == (1, 1)
    assert blunders["reviews"][0]["evidence"]["planned_hold"] == "3600"
    (book,) = tenant.get("/api/v1/statements").json()["accounts"]
    assert book["is_balanced"]
    assert (book["compared"]["first_difference"], float(book["compared"]["difference"])) == ("", 0)
    assert tenant.get("/api/v1/feedback").json()["overall"]["trades"] == 1


@pytest.mark.parametrize("query", [{"days": 0}, {"days": 5000}, {"risk_free": "5"}, {"risk_free": "x"}])
def test_what_cannot_be_meant_is_refused(tenant: Caller, query: dict[str, str]) -> None:
    assert tenant.get("/api/v1/performance", **query).status_code == 422
