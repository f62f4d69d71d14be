"""At which prices the venue's balance was valued when it was told: what closes before the next one is taken out of it."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE account_balances ADD COLUMN marks JSONB NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE account_balances DROP COLUMN marks")
