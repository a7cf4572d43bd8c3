"""Whether a clip has sound, and which people it may show."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "generation"


def upgrade() -> None:
    """Add the columns."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    sound: sa.Column[bool] = sa.Column("generate_audio", sa.Boolean(), nullable=False, server_default=sa.true())
    people: sa.Column[str] = sa.Column("person_generation", sa.String(16), nullable=False, server_default="")
    op.add_column("jobs", sound, schema=schema)
    op.add_column("jobs", people, schema=schema)


def downgrade() -> None:
    """Remove them."""
    schema = schema_in_use(op.get_bind(), SCHEMA)
    op.drop_column("jobs", "person_generation", schema=schema)
    op.drop_column("jobs", "generate_audio", schema=schema)
