"""Why a bearer could not be renewed the last time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "tokens"


def upgrade() -> None:
    """Add the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    column = sa.Column("refresh_problem", sa.String(length=64), nullable=False, server_default="")
    op.add_column("tokens", column, schema=schema)


def downgrade() -> None:
    """Drop the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_column("tokens", "refresh_problem", schema=schema)
