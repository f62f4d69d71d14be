"""Which pool of candidates a subscription follows: its instruments change with it."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN pool TEXT")


def downgrade() -> None:
    op.execute("ALTER TABLE subscriptions DROP COLUMN pool")
