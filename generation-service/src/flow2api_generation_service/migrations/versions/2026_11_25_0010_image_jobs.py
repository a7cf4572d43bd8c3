"""Image jobs, their pictures, and what goes into them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "image_jobs",
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(256), nullable=True),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("served_model_id", sa.String(128), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("answer_options", sa.JSON(), nullable=False),
        sa.Column("is_reserved", sa.Boolean(), nullable=False),
        sa.Column("typical_duration_seconds", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("complete_time", UtcDateTime(), nullable=True),
        sa.Column("deadline_time", UtcDateTime(), nullable=False),
        sa.Column("attempt_id", sa.String(64), nullable=True),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.Column("no_account_since", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("generation_id", name="pk_image_jobs"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_image_jobs_api_key_id_generation_id", "image_jobs", ["api_key_id", "generation_id"], schema=SCHEMA
    )
    op.create_index("ix_image_jobs_state_deadline_time", "image_jobs", ["state", "deadline_time"], schema=SCHEMA)
    op.create_index("ix_image_jobs_complete_time", "image_jobs", ["complete_time"], schema=SCHEMA)
    op.create_table(
        "image_job_pictures",
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("image_index", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt_id", sa.String(64), nullable=True),
        sa.Column("asked_time", UtcDateTime(), nullable=True),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("provider", sa.String(32), nullable=True),
        sa.Column("upstream_model", sa.String(128), nullable=True),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("media_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("generation_id", "image_index", name="pk_image_job_pictures"),
        _of_job("image_job_pictures"),
        schema=SCHEMA,
    )
    op.create_table(
        "image_job_inputs",
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("media_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "position", name="pk_image_job_inputs"),
        _of_job("image_job_inputs"),
        schema=SCHEMA,
    )
    op.create_index("ix_image_job_inputs_media_id", "image_job_inputs", ["media_id"], schema=SCHEMA)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("image_job_inputs", schema=SCHEMA)
    op.drop_table("image_job_pictures", schema=SCHEMA)
    op.drop_table("image_jobs", schema=SCHEMA)


def _of_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["generation_id"],
        [f"{SCHEMA}.image_jobs.generation_id"],
        name=f"fk_{table}_generation_id_image_jobs",
        ondelete="CASCADE",
    )
