"""Parameter sets of tenants, when each was in force, and the doors that tell scans and signals apart by them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FOLDER = Path(__file__).parent

_BACK = """
    SET LOCAL ROLE tradewinds_dispatcher;
    DROP FUNCTION wanted_markets(text, timestamptz, timestamptz),
        signal_subscribers(text, text, text, text, text, timestamptz, timestamptz, jsonb);
    SET LOCAL ROLE tradewinds_owner;
    REVOKE SELECT ON signals FROM tradewinds_dispatcher;
    DROP TABLE parameter_activations, parameter_versions;
    DELETE FROM leavings WHERE digest <> '';
    ALTER TABLE leavings DROP CONSTRAINT leavings_pkey;
    ALTER TABLE leavings DROP COLUMN digest;
    ALTER TABLE leavings ADD CONSTRAINT pk_leavings PRIMARY KEY (venue, instrument, strategy, side, closed_at);
    GRANT CREATE ON SCHEMA public TO tradewinds_dispatcher;
    SET LOCAL ROLE tradewinds_dispatcher;
"""

_DOORS = """
    REVOKE ALL ON FUNCTION wanted_markets(text, timestamptz),
        signal_subscribers(text, text, text, text, timestamptz, jsonb) FROM PUBLIC;
    GRANT EXECUTE ON FUNCTION wanted_markets(text, timestamptz),
        signal_subscribers(text, text, text, text, timestamptz, jsonb) TO tradewinds_app;
    SET LOCAL ROLE tradewinds_owner;
    REVOKE CREATE ON SCHEMA public FROM tradewinds_dispatcher;
"""


def _run(statements: str) -> None:
    # As one simple query: these are many statements, and their colons are no parameters.
    op.get_bind().exec_driver_sql(statements, execution_options={"no_parameters": True})


def _former_doors() -> str:
    walls = (_FOLDER / "0001_walls.sql").read_text(encoding="utf-8")
    doors = []
    for name in ("wanted_markets", "signal_subscribers"):
        start = walls.index(f"CREATE FUNCTION {name}(")
        doors.append(walls[start : walls.index("$$;", start) + 3])
    return "\n".join(doors)


def upgrade() -> None:
    _run((_FOLDER / "0006_parameter_versions.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    _run(_BACK + _former_doors() + _DOORS)
