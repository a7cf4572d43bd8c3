"""Give authors a name that must be there, which SQLite can only do by copying the table."""

import sqlalchemy as sa
from alembic import op

from flow2api_common.migrations import schema_in_use

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(sa.text("INSERT INTO authors (author_id) VALUES ('first')") if _is_sqlite() else sa.text("SELECT 1"))
    op.execute(
        sa.text("INSERT INTO books (book_id, author_id) VALUES ('b', 'first')") if _is_sqlite() else sa.text("SELECT 1")
    )
    with op.batch_alter_table("authors", schema=schema_in_use(op.get_bind(), "sample")) as table:
        table.add_column(sa.Column("name", sa.String(), nullable=False, server_default=""))
        table.alter_column("create_time", type_=sa.String())


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
