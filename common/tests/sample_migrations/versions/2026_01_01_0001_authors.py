"""Create authors and books."""

import sqlalchemy as sa
from alembic import op

from flow2api_common.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authors",
        sa.Column("author_id", sa.String(), primary_key=True),
        sa.Column("create_time", UtcDateTime(), nullable=True),
        schema="sample",
    )
    op.create_table(
        "books",
        sa.Column("book_id", sa.String(), primary_key=True),
        sa.Column(
            "author_id", sa.String(), sa.ForeignKey("sample.authors.author_id", ondelete="CASCADE"), nullable=False
        ),
        schema="sample",
    )
    op.create_index("ix_books_author_id", "books", ["author_id"], schema="sample")
