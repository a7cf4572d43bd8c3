"""Video jobs, their input pictures, and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sa.Column("video_id", sa.String(64), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(256), nullable=True),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("negative_prompt", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("aspect_ratio", sa.String(16), nullable=False),
        sa.Column("duration_seconds", sa.Integer(), nullable=False),
        sa.Column("resolution", sa.String(16), nullable=False),
        sa.Column("upscale_to", sa.String(16), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("source_video_id", sa.String(64), nullable=True),
        sa.Column("client_metadata", sa.JSON(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=False),
        sa.Column("typical_duration_seconds", sa.Integer(), nullable=False),
        sa.Column("upscale_typical_seconds", sa.Integer(), nullable=False),
        sa.Column("deadline_seconds", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("state_time", UtcDateTime(), nullable=False),
        sa.Column("submit_time", UtcDateTime(), nullable=True),
        sa.Column("complete_time", UtcDateTime(), nullable=True),
        sa.Column("deadline_time", UtcDateTime(), nullable=False),
        sa.Column("has_client_deadline", sa.Boolean(), nullable=False),
        sa.Column("attempt_id", sa.String(64), nullable=True),
        sa.Column("attempt_count", sa.Integer(), nullable=False),
        sa.Column("tried_token_ids", sa.JSON(), nullable=False),
        sa.Column("submit_started_at", UtcDateTime(), nullable=True),
        sa.Column("provider", sa.String(32), nullable=True),
        sa.Column("upstream_model", sa.String(128), nullable=True),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("lease", sa.LargeBinary(), nullable=True),
        sa.Column("upsampler_model", sa.String(128), nullable=True),
        sa.Column("credits", sa.BigInteger(), nullable=True),
        sa.Column("remaining_credits", sa.BigInteger(), nullable=True),
        sa.Column("operation_handle", sa.Text(), nullable=True),
        sa.Column("operation_name", sa.Text(), nullable=True),
        sa.Column("base_operation_handle", sa.Text(), nullable=True),
        sa.Column("base_result_handle", sa.Text(), nullable=True),
        sa.Column("result_handle", sa.Text(), nullable=True),
        sa.Column("media_id", sa.String(64), nullable=True),
        sa.PrimaryKeyConstraint("video_id", name="pk_jobs"),
        sa.UniqueConstraint("api_key_id", "request_id", name="uq_jobs_api_key_id_request_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_jobs_deadline_time", "jobs", ["deadline_time"], schema=SCHEMA)
    op.create_index("ix_jobs_state_video_id", "jobs", ["state", "video_id"], schema=SCHEMA)
    op.create_index("ix_jobs_api_key_id_video_id", "jobs", ["api_key_id", "video_id"], schema=SCHEMA)
    op.create_table(
        "job_input_images",
        sa.Column("video_id", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("media_id", sa.String(64), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("video_id", "position", name="pk_job_input_images"),
        sa.ForeignKeyConstraint(
            ["video_id"],
            [f"{SCHEMA}.jobs.video_id"],
            name="fk_job_input_images_video_id_jobs",
            ondelete="CASCADE",
        ),
        schema=SCHEMA,
    )
    op.create_table(
        "outbox",
        sa.Column(
            "outbox_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("message_type", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("claimed_until", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("outbox_id", name="pk_outbox"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("outbox", "job_input_images", "jobs"):
        op.drop_table(table, schema=SCHEMA)
