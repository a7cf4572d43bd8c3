"""Files that were made of other files, and finding the oldest files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the columns and indexes."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    derived_from: sa.Column[object] = sa.Column("derived_from", sa.String(64), nullable=True)
    variant: sa.Column[object] = sa.Column("variant", sa.String(32), nullable=False, server_default="")
    op.add_column("media", derived_from, schema=schema)
    op.add_column("media", variant, schema=schema)
    op.create_index("ix_media_derived_from", "media", ["derived_from"], schema=schema)
    op.create_index("ix_media_create_time", "media", ["create_time"], schema=schema)


def downgrade() -> None:
    """Remove them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_index("ix_media_create_time", table_name="media", schema=schema)
    op.drop_index("ix_media_derived_from", table_name="media", schema=schema)
    op.drop_column("media", "variant", schema=schema)
    op.drop_column("media", "derived_from", schema=schema)
