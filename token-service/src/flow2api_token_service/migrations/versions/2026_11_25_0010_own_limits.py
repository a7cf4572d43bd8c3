"""A token's own limits per upstream model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "tokens"


def upgrade() -> None:
    """Add the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.add_column("tokens", sa.Column("model_limits", sa.Text(), nullable=False, server_default=""), schema=schema)


def downgrade() -> None:
    """Drop the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_column("tokens", "model_limits", schema=schema)
