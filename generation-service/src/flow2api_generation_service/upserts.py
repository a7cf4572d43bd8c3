"""Inserts that may be repeated, in the words of both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.models_base import Base


def insert_into(session: AsyncSession, table: type[Base]) -> Any:
    """An INSERT with ``on_conflict_do_…``, which SQLAlchemy has per database only, both with the same methods."""
    dialect = session.get_bind().dialect.name
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


async def add_if_absent(session: AsyncSession, *rows: Base) -> None:
    """Store rows of one table, those that name the same columns in one round trip; when a key is there already, nothing
    changes. The session does not track them."""
    values = [
        {name: value for name, value in inspect(row).dict.items() if name in row.__mapper__.columns} for row in rows
    ]
    by_columns: dict[frozenset[str], list[dict[str, Any]]] = {}
    for each in values:
        by_columns.setdefault(frozenset(each), []).append(each)
    for alike in by_columns.values():
        await session.execute(insert_into(session, type(rows[0])).on_conflict_do_nothing(), alike)
