"""The deadline that a client has set, beside that of the stage that a job is in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the column."""
    column: sa.Column[object] = sa.Column("client_deadline_time", UtcDateTime(), nullable=True)
    op.add_column("jobs", column, schema=schema_in_use(op.get_bind(), SCHEMA))


def downgrade() -> None:
    """Remove it."""
    op.drop_column("jobs", "client_deadline_time", schema=schema_in_use(op.get_bind(), SCHEMA))
