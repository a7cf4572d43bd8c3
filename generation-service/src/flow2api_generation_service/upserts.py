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


async def add_if_absent(session: AsyncSession, row: Base) -> None:
    """Store a row in one statement; when its key is there already, nothing changes. The session does not track it."""
    values = {name: value for name, value in inspect(row).dict.items() if name in row.__mapper__.columns}
    await session.execute(insert_into(session, type(row)).values(**values).on_conflict_do_nothing())
