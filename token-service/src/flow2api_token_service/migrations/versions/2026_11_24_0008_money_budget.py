"""What an API key may spend per day in money."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "tokens"


def upgrade() -> None:
    """Add the column; the keys that are there may spend what they like."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    budget: sa.Column[int] = sa.Column(
        "daily_budget_micro_usd", sa.BigInteger(), server_default=sa.text("-1"), nullable=False
    )
    op.add_column("api_keys", budget, schema=schema)


def downgrade() -> None:
    """Drop the column."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_column("api_keys", "daily_budget_micro_usd", schema=schema)
