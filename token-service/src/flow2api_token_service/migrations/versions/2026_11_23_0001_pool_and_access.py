"""Tokens with their stats, rests and projects; API keys, administrators and their sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "tokens"
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "admins",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("username", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("settings_hash", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_admins"),
        sa.UniqueConstraint("username", name="uq_admins_username"),
        schema=SCHEMA,
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("max_concurrency", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("secret_hash", name="uq_api_keys_secret_hash"),
        schema=SCHEMA,
    )
    op.create_table(
        "stats_batches",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("written_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", name="pk_stats_batches"),
        schema=SCHEMA,
    )
    op.create_index("ix_stats_batches_written_at", "stats_batches", ["written_at"], unique=False, schema=SCHEMA)
    op.create_table(
        "tokens",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("provider", sa.String(length=32), nullable=False),
        sa.Column("st", sa.Text(), nullable=False),
        sa.Column("secret_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("masked_secret", sa.String(length=16), nullable=False),
        sa.Column("at", sa.Text(), nullable=True),
        sa.Column("at_expires", UtcDateTime(), nullable=True),
        sa.Column("refresh_time", UtcDateTime(), nullable=True),
        sa.Column("credential_version", sa.BigInteger(), nullable=False),
        sa.Column("proxy_url", sa.Text(), nullable=True),
        sa.Column("location", sa.String(length=64), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("name", sa.String(length=320), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ban_reason", sa.String(length=200), nullable=False),
        sa.Column("banned_at", UtcDateTime(), nullable=False),
        sa.Column("state_until", UtcDateTime(), nullable=True),
        sa.Column("cooldown_level", sa.Integer(), nullable=False),
        sa.Column("suspect_level", sa.Integer(), nullable=False),
        sa.Column("user_paygate_tier", sa.Integer(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=True),
        sa.Column("credits_read_at", UtcDateTime(), nullable=True),
        sa.Column("current_project_id", sa.String(length=200), nullable=False),
        sa.Column("current_project_name", sa.String(length=200), nullable=False),
        sa.Column("image_enabled", sa.Boolean(), nullable=False),
        sa.Column("video_enabled", sa.Boolean(), nullable=False),
        sa.Column("image_concurrency", sa.Integer(), nullable=False),
        sa.Column("video_concurrency", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("use_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("provider", "secret_fingerprint", name="uq_tokens_provider_secret_fingerprint"),
        schema=SCHEMA,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_refresh_time", "tokens", ["refresh_time"], unique=False, schema=SCHEMA)
    op.create_index("ix_tokens_state_state_until", "tokens", ["state", "state_until"], unique=False, schema=SCHEMA)
    op.create_index("ix_tokens_updated_at", "tokens", ["updated_at"], unique=False, schema=SCHEMA)
    op.create_table(
        "admin_sessions",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("admin_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["admin_id"], ["tokens.admins.id"], name="fk_admin_sessions_admin_id_admins", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name="pk_admin_sessions"),
        schema=SCHEMA,
    )
    op.create_index("ix_admin_sessions_admin_id", "admin_sessions", ["admin_id"], unique=False, schema=SCHEMA)
    op.create_index("ix_admin_sessions_expires_at", "admin_sessions", ["expires_at"], unique=False, schema=SCHEMA)
    op.create_table(
        "projects",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("token_id", BIG_ID, nullable=False),
        sa.Column("project_id", sa.String(length=200), nullable=False),
        sa.Column("project_name", sa.String(length=200), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.tokens.id"], name="fk_projects_token_id_tokens", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("token_id", "project_id", name="uq_projects_token_id_project_id"),
        schema=SCHEMA,
    )
    op.create_table(
        "token_rests",
        sa.Column("token_id", BIG_ID, nullable=False),
        sa.Column("upstream_model", sa.String(length=200), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.tokens.id"], name="fk_token_rests_token_id_tokens", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", "upstream_model", name="pk_token_rests"),
        schema=SCHEMA,
    )
    op.create_table(
        "token_stats",
        sa.Column("token_id", BIG_ID, nullable=False),
        sa.Column("image_count", sa.BigInteger(), nullable=False),
        sa.Column("video_count", sa.BigInteger(), nullable=False),
        sa.Column("success_count", sa.BigInteger(), nullable=False),
        sa.Column("error_count", sa.BigInteger(), nullable=False),
        sa.Column("last_success_at", UtcDateTime(), nullable=True),
        sa.Column("last_error_at", UtcDateTime(), nullable=True),
        sa.Column("today_image_count", sa.BigInteger(), nullable=False),
        sa.Column("today_video_count", sa.BigInteger(), nullable=False),
        sa.Column("today_error_count", sa.BigInteger(), nullable=False),
        sa.Column("today_date", sa.Date(), nullable=True),
        sa.Column("consecutive_error_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["tokens.tokens.id"], name="fk_token_stats_token_id_tokens", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", name="pk_token_stats"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "token_stats",
        "token_rests",
        "projects",
        "admin_sessions",
        "tokens",
        "stats_batches",
        "api_keys",
        "admins",
    ):
        op.drop_table(name, schema=SCHEMA)
