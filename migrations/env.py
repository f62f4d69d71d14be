"""How Alembic runs here: on the connection that `common.store.migrate` hands over, as the owner's role."""

from __future__ import annotations

from typing import Any

from alembic import context

from common.store.tables import metadata

_NO_CONNECTION = "migrations run on a connection from common.store.migrate: use `tradewinds migrate`"


def is_ours(_: Any, name: str | None, kind: str, reflected: bool, __: Any) -> bool:
    """Whether Alembic should look at an object: months of candles come and go without a migration."""
    return not (kind == "table" and reflected and name is not None and name.startswith("candles_y"))


def run() -> None:
    """Run the migrations on the connection of the configuration."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise SystemExit(_NO_CONNECTION)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=is_ours,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
