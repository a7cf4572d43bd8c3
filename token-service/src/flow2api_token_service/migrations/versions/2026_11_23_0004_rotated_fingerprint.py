"""The fingerprint of a secret that the upstream has rotated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "tokens"
INDEX = "ix_tokens_provider_rotated_fingerprint"


def upgrade() -> None:
    """Add the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.add_column("tokens", sa.Column("rotated_fingerprint", sa.String(length=64), nullable=True), schema=schema)
    op.create_index(INDEX, "tokens", ["provider", "rotated_fingerprint"], unique=False, schema=schema)


def downgrade() -> None:
    """Drop the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_index(INDEX, table_name="tokens", schema=schema)
    op.drop_column("tokens", "rotated_fingerprint", schema=schema)
