"""Since when no account of the pool can serve a queued job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the column."""
    column: sa.Column[object] = sa.Column("no_account_since", UtcDateTime(), nullable=True)
    op.add_column("jobs", column, schema=schema_in_use(op.get_bind(), SCHEMA))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("jobs", "no_account_since", schema=schema_in_use(op.get_bind(), SCHEMA))
