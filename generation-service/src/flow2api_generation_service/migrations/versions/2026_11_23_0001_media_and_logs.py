"""Stored files, the request log with its sums, idempotency keys, settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "media",
        sa.Column("media_id", sa.String(64), nullable=False),
        sa.Column("object_key", sa.String(256), nullable=False),
        sa.Column("content_type", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("expire_time", UtcDateTime(), nullable=True),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("upstream_handle", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("media_id", name="pk_media"),
        schema=SCHEMA,
    )
    op.create_index("ix_media_expire_time", "media", ["expire_time"], schema=SCHEMA)
    op.create_table(
        "request_logs",
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("output_count", sa.Integer(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", name="pk_request_logs"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_request_logs_create_time_generation_id", "request_logs", ["create_time", "generation_id"], schema=SCHEMA
    )
    op.create_table(
        "daily_stats",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("image_error_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_daily_stats"),
        schema=SCHEMA,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(256), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("claimed_until", UtcDateTime(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("expire_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("api_key_id", "request_id", name="pk_idempotency_keys"),
        schema=SCHEMA,
    )
    op.create_index("ix_idempotency_keys_expire_time", "idempotency_keys", ["expire_time"], schema=SCHEMA)
    op.create_table(
        "settings",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_settings"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("settings", "idempotency_keys", "daily_stats", "request_logs", "media"):
        op.drop_table(table, schema=SCHEMA)
