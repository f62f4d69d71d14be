"""What most commands begin with: settings, logging, and a fleet to ask."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from cli.output import note
from cli.worlds import World, chosen_world, is_running, write_private
from common.domain.errors import Permanent
from common.settings import Settings, read_settings
from common.telemetry import configure_logging

if TYPE_CHECKING:
    from common.services.fleet import Fleet

ROOT = Path(__file__).resolve().parent.parent
GENERATED_SECRETS = ("master_key", "message_key", "halt_key", "api_token")


@contextmanager
def asked_fleet(
    world: str | None = None, *, folders: Sequence[Path] | None = None, in_venue_time: bool = False, **given: Any
) -> Iterator[Fleet]:
    """The fleet the settings name, with `given` in place of what they say, for a question or a small change.

    Without a database in the settings it is that of a world: a running one is joined, a resting one gets its database
    started for as long as the question takes. With `folders`, even none, strategies are known by name: theirs, and those
    of the settings and of installed packages. `in_venue_time` is for changes that count from a moment on: a world that
    rests has no time that they could count from, and is not changed (Permanent).
    """
    from common.bootstrap import build_fleet, load_strategies
    from common.machine import embedded_servers

    settings = read_settings(world=world, **given)
    if folders is not None:
        load_strategies(settings.model_copy(update={"strategies": (*settings.strategies, *map(str, folders))}))
    configure_logging(settings.model_copy(update={"log_level": "warning"}), sys.stderr)
    with ExitStack() as stack:
        if settings.database_url is None:
            resting = chosen_world(settings, world)
            if is_running(resting):
                note(f"the world {resting.name!r} is starting or stopping; try again in a moment")
            elif in_venue_time:
                raise Permanent(
                    f"the world {resting.name!r} rests, and its time with it: `tradewinds up --world {resting.name}` first"
                )
            stack.enter_context(resting.claimed())
            settings = stack.enter_context(
                embedded_servers(settings_of_world(settings, resting), resting.directory, redis=False)
            )
        fleet = build_fleet(settings, "cli")
        stack.callback(fleet.store.close)
        yield fleet


def settings_of_world(settings: Settings, world: World, **changes: Any) -> Settings:
    """`settings` as the processes of `world` read them: absolute, named, with generated secrets where none are given."""
    home = settings.home.resolve()
    if settings.secrets_dir is None:
        ensure_secrets(home / "secrets")
    values = settings.model_dump(exclude_unset=True) | {
        "home": home,
        "world": world.name,
        "metrics_dir": world.directory / "metrics",
        **changes,
    }
    return read_settings(attach=False, **values)


def ensure_secrets(folder: Path) -> list[str]:
    """Write each platform secret that `folder` lacks, readable for its owner alone; returns the names written."""
    from common.machine import system_ids

    missing = [name for name in GENERATED_SECRETS if not (folder / name).exists()]
    for name in missing:
        write_private(folder / name, system_ids().token() + "\n")
    return missing


def child_environ(settings: Settings) -> dict[str, str]:
    """The environment of the fleet's processes: these settings, and the project on the path."""
    environ = settings.environ(os.environ)
    paths = [str(ROOT), *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    return environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


def become(*arguments: str) -> NoReturn:
    """Replace this process with `python -m …`: signals, memory and exit status are then the other's own."""
    environ = os.environ | {"PYTHONPATH": child_environ(read_settings())["PYTHONPATH"]}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", *arguments], environ)  # noqa: S606 - our own interpreter and modules.
