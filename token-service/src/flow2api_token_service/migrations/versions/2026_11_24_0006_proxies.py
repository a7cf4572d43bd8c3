"""The proxies, and which token keeps to which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "tokens"
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table, add the columns."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.create_table(
        "proxies",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("scheme", sa.String(length=8), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("has_credentials", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_reason", sa.String(length=200), nullable=False),
        sa.Column("state_time", UtcDateTime(), nullable=False),
        sa.Column("next_check_at", UtcDateTime(), nullable=False),
        sa.Column("last_check_at", UtcDateTime(), nullable=True),
        sa.Column("latency_ms", sa.Integer(), nullable=True),
        sa.Column("consecutive_failure_count", sa.Integer(), nullable=False),
        sa.Column("pause_level", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_proxies"),
        sa.UniqueConstraint("url_fingerprint", name="uq_proxies_url_fingerprint"),
        schema=schema,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_proxies_next_check_at", "proxies", ["next_check_at"], unique=False, schema=schema)
    masked = sa.Column("masked_proxy", sa.String(length=300), nullable=False, server_default="")
    op.add_column("tokens", masked, schema=schema)
    op.add_column("tokens", sa.Column("proxy_id", sa.BigInteger(), nullable=True), schema=schema)
    op.create_index("ix_tokens_proxy_id", "tokens", ["proxy_id"], unique=False, schema=schema)


def downgrade() -> None:
    """Drop them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_index("ix_tokens_proxy_id", table_name="tokens", schema=schema)
    op.drop_column("tokens", "proxy_id", schema=schema)
    op.drop_column("tokens", "masked_proxy", schema=schema)
    op.drop_table("proxies", schema=schema)
