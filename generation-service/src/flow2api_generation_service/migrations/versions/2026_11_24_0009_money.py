"""What the clip of a job costs in money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    micros: sa.Column[object] = sa.Column("micros", sa.BigInteger(), nullable=True)
    op.add_column("jobs", micros, schema=schema)


def downgrade() -> None:
    """Remove it."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_column("jobs", "micros", schema=schema)
