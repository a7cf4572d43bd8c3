"""Who has changed a setting, and every change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime
from flow2api_common.migrations import schema_in_use

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the column and the table."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    actor: sa.Column[str] = sa.Column("actor", sa.String(120), nullable=False, server_default="")
    op.add_column("settings", actor, schema=schema)
    op.create_table(
        "setting_changes",
        sa.Column(
            "change_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("actor", sa.String(120), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("change_id", name="pk_setting_changes"),
        schema=schema,
    )


def downgrade() -> None:
    """Remove them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_table("setting_changes", schema=schema)
    op.drop_column("settings", "actor", schema=schema)
