"""What an API key may do: its share, requests per minute, credits per day, models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "tokens"


def upgrade() -> None:
    """Add the columns; the keys that are there get the defaults, which limit nothing."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    for column in (
        sa.Column("weight", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), server_default=sa.text("-1"), nullable=False),
        sa.Column("daily_credit_budget", sa.BigInteger(), server_default=sa.text("-1"), nullable=False),
        sa.Column("allowed_models", sa.JSON(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default=sa.text("1"), nullable=False),
    ):
        op.add_column("api_keys", column, schema=schema)


def downgrade() -> None:
    """Drop the columns."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    for name in ("revision", "allowed_models", "daily_credit_budget", "requests_per_minute", "weight"):
        op.drop_column("api_keys", name, schema=schema)
