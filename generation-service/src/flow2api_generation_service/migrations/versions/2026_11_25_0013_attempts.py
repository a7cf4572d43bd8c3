"""Where each generation was tried, and what came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the table."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.String(64), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("line", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("upstream_model", sa.String(128), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("location", sa.String(64), nullable=False),
        sa.Column("passed_by", sa.JSON(), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("next_step", sa.String(32), nullable=False),
        sa.Column("start_time", UtcDateTime(), nullable=False),
        sa.Column("end_time", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("attempt_id", "try_number", name="pk_attempts"),
        schema=schema,
    )
    op.create_index("ix_attempts_generation_id", "attempts", ["generation_id"], schema=schema)
    op.create_index("ix_attempts_start_time", "attempts", ["start_time"], schema=schema)


def downgrade() -> None:
    """Remove it."""
    op.drop_table("attempts", schema=schema_in_use(op.get_bind(), SCHEMA))
