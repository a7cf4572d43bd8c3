"""By what a client's copy of a clip is recognised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the column and its index."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    column: sa.Column[object] = sa.Column("clip_sha256", sa.String(64), nullable=True)
    op.add_column("jobs", column, schema=schema)
    op.create_index("ix_jobs_clip_sha256", "jobs", ["clip_sha256"], schema=schema)


def downgrade() -> None:
    """Remove them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_index("ix_jobs_clip_sha256", "jobs", schema=schema)
    op.drop_column("jobs", "clip_sha256", schema=schema)
