"""Reading what has happened to tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select

from flow2api_common.database import Database
from flow2api_token_service.health.models import TokenEventRow


class TokenHistory:
    """The use case behind ListTokenEvents, and the retention of events."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def page(self, token_id: int, *, before_id: int | None, limit: int) -> Sequence[TokenEventRow]:
        """Events of one token, newest first, from the one before ``before_id``."""
        statement = select(TokenEventRow).where(TokenEventRow.token_id == token_id)
        if before_id is not None:
            statement = statement.where(TokenEventRow.id < before_id)
        async with self._database.transaction(read_only=True) as session:
            return (await session.execute(statement.order_by(TokenEventRow.id.desc()).limit(limit))).scalars().all()

    async def forget_before(self, time: datetime) -> None:
        """Delete old events."""
        async with self._database.transaction() as session:
            await session.execute(delete(TokenEventRow).where(TokenEventRow.event_time < time))
