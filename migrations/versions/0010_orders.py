"""Which order an order replaces, and when we first knew that the venue has it."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN replaces UUID, ADD COLUMN acknowledged_at TIMESTAMP WITH TIME ZONE")


def downgrade() -> None:
    op.execute("ALTER TABLE orders DROP COLUMN replaces, DROP COLUMN acknowledged_at")
