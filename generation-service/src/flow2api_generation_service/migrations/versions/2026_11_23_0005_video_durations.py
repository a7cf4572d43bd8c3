"""How long clips take: what was learned, and what a job was submitted with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "generation"
_COLUMNS = ("duration_quantiles_ms", "upscale_quantiles_ms")


def upgrade() -> None:
    """Create the table and add the columns."""
    op.create_table(
        "video_durations",
        sa.Column("series", sa.String(256), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("clip_count", sa.BigInteger(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("series", name="pk_video_durations"),
        schema=SCHEMA,
    )
    for name in _COLUMNS:
        column: sa.Column[object] = sa.Column(name, sa.JSON(), nullable=True)
        op.add_column("jobs", column, schema=schema_in_use(op.get_bind(), SCHEMA))


def downgrade() -> None:
    """Remove them."""
    for name in _COLUMNS:
        op.drop_column("jobs", name, schema=schema_in_use(op.get_bind(), SCHEMA))
    op.drop_table("video_durations", schema=SCHEMA)
