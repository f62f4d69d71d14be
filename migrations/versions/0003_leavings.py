"""Leavings: what a strategy says to those who hold a position, once for everybody."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE leavings (
            venue TEXT NOT NULL,
            instrument TEXT NOT NULL,
            strategy TEXT NOT NULL,
            side TEXT NOT NULL,
            closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
            CONSTRAINT pk_leavings PRIMARY KEY (venue, instrument, strategy, side, closed_at)
        )
    """)
    op.execute("ALTER TABLE leavings OWNER TO tradewinds_owner")
    op.execute("GRANT SELECT, INSERT, DELETE ON leavings TO tradewinds_app")
    op.execute("GRANT SELECT ON leavings TO tradewinds_api, tradewinds_operator")


def downgrade() -> None:
    op.execute("DROP TABLE leavings")
