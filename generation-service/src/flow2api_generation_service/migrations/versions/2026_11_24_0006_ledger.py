"""The ledger: entries, the rows that guard daily budgets, and sums that outlive the entries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEMA = "generation"

_DAY_COLUMNS = ("reserved", "open", "settled", "released")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ledger_entries",
        sa.Column("generation_id", sa.String(64), nullable=False),
        sa.Column("line", sa.String(32), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("provider", sa.String(32), nullable=True),
        sa.Column("upstream_model", sa.String(128), nullable=True),
        sa.Column("token_id", sa.BigInteger(), nullable=True),
        sa.Column("attempt_id", sa.String(64), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("reserved_credits", sa.BigInteger(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("released_credits", sa.BigInteger(), nullable=False),
        sa.Column("reserved_micros", sa.BigInteger(), nullable=True),
        sa.Column("micros", sa.BigInteger(), nullable=True),
        sa.Column("released_micros", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(3), nullable=True),
        sa.Column("balance_after", sa.BigInteger(), nullable=True),
        sa.Column("output_count", sa.Integer(), nullable=False),
        sa.Column("create_time", UtcDateTime(), nullable=False),
        sa.Column("update_time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("generation_id", "line", name="pk_ledger_entries"),
        sa.CheckConstraint("credits >= 0 AND released_credits >= 0", name="ck_ledger_entries_not_negative"),
        sa.CheckConstraint("reserved_credits = credits + released_credits", name="ck_ledger_entries_credits_add_up"),
        sa.CheckConstraint("reserved_micros = micros + released_micros", name="ck_ledger_entries_micros_add_up"),
        schema=SCHEMA,
    )
    indexes = {
        "ix_ledger_entries_create_time": ["create_time", "generation_id", "line"],
        "ix_ledger_entries_day_api_key_id": ["day", "api_key_id"],
        "ix_ledger_entries_state_update_time": ["state", "update_time"],
    }
    for name, columns in indexes.items():
        op.create_index(name, "ledger_entries", columns, schema=SCHEMA)
    op.create_table(
        "ledger_days",
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        *(sa.Column(f"{name}_credits", sa.BigInteger(), nullable=False) for name in _DAY_COLUMNS),
        *(sa.Column(f"{name}_micros", sa.BigInteger(), nullable=False) for name in _DAY_COLUMNS),
        sa.PrimaryKeyConstraint("api_key_id", "day", name="pk_ledger_days"),
        sa.CheckConstraint(
            "open_credits >= 0 AND settled_credits >= 0 AND released_credits >= 0", name="ck_ledger_days_not_negative"
        ),
        sa.CheckConstraint(
            "reserved_credits = open_credits + settled_credits + released_credits", name="ck_ledger_days_credits_add_up"
        ),
        sa.CheckConstraint(
            "reserved_micros = open_micros + settled_micros + released_micros", name="ck_ledger_days_micros_add_up"
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_ledger_days_day", "ledger_days", ["day"], schema=SCHEMA)
    op.create_table(
        "ledger_sums",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("api_key_id", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(128), nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("token_id", sa.BigInteger(), nullable=False),
        sa.Column("entry_count", sa.BigInteger(), nullable=False),
        sa.Column("settled_count", sa.BigInteger(), nullable=False),
        sa.Column("output_count", sa.BigInteger(), nullable=False),
        *(
            sa.Column(f"{name}_credits", sa.BigInteger(), nullable=False)
            for name in ("reserved", "settled", "released")
        ),
        *(sa.Column(f"{name}_micros", sa.BigInteger(), nullable=False) for name in ("reserved", "settled", "released")),
        sa.PrimaryKeyConstraint(
            "day", "api_key_id", "model_id", "operation", "provider", "token_id", name="pk_ledger_sums"
        ),
        schema=SCHEMA,
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("ledger_sums", "ledger_days", "ledger_entries"):
        op.drop_table(table, schema=SCHEMA)
