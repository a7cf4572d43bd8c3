"""What has happened to the health of tokens, and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "tokens"
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "token_events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("cause", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("state_before", sa.String(length=16), nullable=False),
        sa.Column("state_after", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=True),
        sa.Column("upstream_model", sa.String(length=200), nullable=False),
        sa.Column("consecutive_error_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_token_events"),
        schema=SCHEMA,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_token_events_token_id_id", "token_events", ["token_id", "id"], unique=False, schema=SCHEMA)
    op.create_index("ix_token_events_event_time", "token_events", ["event_time"], unique=False, schema=SCHEMA)
    op.create_table(
        "audit_log",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(length=120), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
        schema=SCHEMA,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_log_created_at", "audit_log", ["created_at"], unique=False, schema=SCHEMA)


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("audit_log", schema=SCHEMA)
    op.drop_table("token_events", schema=SCHEMA)
