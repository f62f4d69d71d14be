"""The commands that change something."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TypeVar

import typer

from cli.context import asked_fleet
from cli.output import answer
from cli.worlds import chosen_world
from common.domain.errors import InvalidInput
from common.settings import channels_of, read_settings

Choice = TypeVar("Choice", bound=StrEnum)


def run_migration(as_json: bool) -> None:
    """`tradewinds migrate`."""
    from common.bootstrap import migrate

    migrate(read_settings())
    answer({"migrated": True}, as_json, lambda console: console.print("the schema is current"))


def halt_fleet(scope: str, of: str, mode: str, reason: str, by: str, as_json: bool, world: str | None) -> None:
    """`tradewinds halt`."""
    from common.domain.codec import encode
    from common.domain.risk.book import HaltMode, HaltScope
    from common.services.halts import halt

    chosen, how = one_of(HaltScope, "scope", scope), one_of(HaltMode, "mode", mode)
    with asked_fleet(world) as fleet:
        placed = encode(halt(fleet, scope=chosen, subject=of, mode=how, reason=reason, by=by))
    answer(placed, as_json, lambda console: console.print(f"{how.value} is in force for {chosen.value} {of}".rstrip()))


def send_test_alert(tenant: str | None, as_json: bool, world: str | None) -> None:
    """`tradewinds alert`."""
    from common.services.try_alerts import try_alerts

    with asked_fleet(world) as fleet:
        told = try_alerts(fleet, tenant)
    count = len(channels_of(read_settings().alert_channels).get(told, ()))
    words = f"{told} was told in the log" + (f" and on {count} channels" if count else "; there are no channels")
    answer({"told": told, "channels": count}, as_json, lambda console: console.print(words))


def resume_fleet(
    scope: str, of: str, reason: str, by: str, confirm: str | None, as_json: bool, world: str | None
) -> None:
    """`tradewinds resume`."""
    from common.domain.risk.book import HaltScope
    from common.services.halts import NeedsSecond, resume
    from common.services.kill_switch import confirmation

    chosen = one_of(HaltScope, "scope", scope)
    expected = confirmation(chosen, of)
    with asked_fleet(world) as fleet:

        def lift(is_confirmed: bool) -> bool:
            return resume(fleet, scope=chosen, subject=of, by=by, reason=reason, is_seconded=is_confirmed)

        try:
            lifted = lift(confirm == expected)
        except NeedsSecond:
            typed_words(confirm, expected)
            lifted = lift(is_confirmed=True)
    words = "the halt is lifted" if lifted else "there was no such halt"
    answer({"lifted": lifted}, as_json, lambda console: console.print(words))


def typed_words(given: str | None, expected: str) -> str:
    """What was typed, which has to be `expected`; asked for where somebody can answer."""
    if given is None and sys.stdin.isatty():
        given = typer.prompt(f"Type: {expected}")
    if given != expected:
        raise InvalidInput("confirm", given, f"the words: {expected}")
    return given


def change_tenant(verb: str, name: str, as_json: bool, world: str | None) -> None:
    """`tradewinds tenant create | pause | resume`."""
    from common.domain.codec import encode
    from common.services import tenants

    with asked_fleet(world) as fleet:
        tenant = getattr(tenants, verb)(fleet, name)
    answer(encode(tenant), as_json, lambda console: console.print(f"tenant {tenant.name} is {tenant.state.value}"))


def make_token(tenant: str, name: str, as_json: bool, world: str | None) -> None:
    """`tradewinds tenant token`."""
    from common.services.authenticate import issue_token

    with asked_fleet(world) as fleet:
        token = issue_token(fleet, tenant, name)
    answer({"tenant": tenant, "name": name, "token": token}, as_json, lambda console: console.print(token))


def seed(as_json: bool, world: str | None) -> None:
    """`tradewinds demo seed`."""
    from common.bootstrap import seed_demo

    settings = read_settings(world=world)
    with asked_fleet(world) as fleet:
        names = [tenant.name for tenant in seed_demo(fleet, settings)]
    answer({"tenants": names}, as_json, lambda console: console.print(f"demo tenants: {', '.join(names)}"))


def reset_world(name: str, is_sure: bool, as_json: bool) -> None:
    """`tradewinds reset`."""
    world = chosen_world(read_settings(attach=False), name)
    if not is_sure:
        typer.confirm(f"Delete the world {name!r} with its ledger in {world.directory}?", abort=True)
    world.wipe()
    answer({"deleted": name}, as_json, lambda console: console.print(f"the world {name!r} is gone"))


def one_of(kind: type[Choice], field: str, text: str) -> Choice:
    """The member of `kind` that `text` names; raises InvalidInput naming them all."""
    try:
        return kind(text.lower())
    except ValueError:
        raise InvalidInput(field, text, f"one of {', '.join(kind)}") from None
