"""Administrators who were removed, and where their sessions were opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "tokens"
INDEX = "ix_admin_sessions_id"


def upgrade() -> None:
    """Add the columns. Sessions that are open have no id: they cannot be listed, and end with the others or in time."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.add_column("admins", sa.Column("deleted_at", UtcDateTime(), nullable=True), schema=schema)
    for column in (
        sa.Column("id", sa.String(length=64), nullable=True),
        sa.Column("client_address", sa.String(length=100), server_default=sa.text("''"), nullable=False),
        sa.Column("user_agent", sa.String(length=200), server_default=sa.text("''"), nullable=False),
    ):
        op.add_column("admin_sessions", column, schema=schema)
    op.create_index(INDEX, "admin_sessions", ["id"], unique=True, schema=schema)


def downgrade() -> None:
    """Drop the columns."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_index(INDEX, table_name="admin_sessions", schema=schema)
    for name in ("user_agent", "client_address", "id"):
        op.drop_column("admin_sessions", name, schema=schema)
    op.drop_column("admins", "deleted_at", schema=schema)
