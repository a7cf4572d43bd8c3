"""What the upstream has counted for the clip of a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SCHEMA = "generation"
COLUMNS = (
    "input_tokens",
    "input_text_tokens",
    "input_image_tokens",
    "input_video_tokens",
    "output_tokens",
    "thought_tokens",
)


def upgrade() -> None:
    """Add the columns."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    for name in COLUMNS:
        column: sa.Column[object] = sa.Column(name, sa.BigInteger(), nullable=True)
        op.add_column("jobs", column, schema=schema)


def downgrade() -> None:
    """Remove them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    for name in reversed(COLUMNS):
        op.drop_column("jobs", name, schema=schema)
