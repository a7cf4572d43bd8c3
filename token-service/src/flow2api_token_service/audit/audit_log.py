"""The audit log: every administrative change leaves an entry, also one whose process was killed on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError
from flow2api_common.request_context import current_request_id
from flow2api_token_service.audit.models import AuditRow

_STARTED = "started"
_OK = "ok"
_CANCELLED = "cancelled"


@dataclass(slots=True)
class AuditEntry:
    """An entry that is being made; what becomes known on the way may be set until its end."""

    target: str
    detail: str


class AuditLog:
    """Writes and reads the log. Details name fields and counts, never a secret."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    @asynccontextmanager
    async def entry(self, actor: str, action: str, *, target: str = "", detail: str = "") -> AsyncIterator[AuditEntry]:
        """Around one change: written before it, completed after it. What cannot be written down does not happen.

        Raises DependencyUnavailable. When only the completion fails, the entry stays ``started``.
        """
        entry = AuditEntry(target, detail)
        row_id = await self._add(actor, action, entry, outcome=_STARTED)
        outcome = _CANCELLED
        try:
            yield entry
            outcome = _OK
        except Flow2APIError as error:
            outcome = error.reason
            raise
        except Exception:
            outcome = "INTERNAL"
            raise
        finally:
            await self._complete(row_id, entry, outcome)

    async def record(self, actor: str, action: str, *, target: str = "", detail: str = "") -> None:
        """Write down what has happened."""
        await self._add(actor, action, AuditEntry(target, detail), outcome=_OK)

    async def page(self, *, before_id: int | None, limit: int) -> Sequence[AuditRow]:
        """Entries, newest first, from the one before ``before_id``."""
        statement = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if before_id is not None:
            statement = statement.where(AuditRow.id < before_id)
        async with self._database.transaction(read_only=True) as session:
            return (await session.execute(statement)).scalars().all()

    async def forget_before(self, time: datetime) -> None:
        """Delete old entries."""
        async with self._database.transaction() as session:
            await session.execute(delete(AuditRow).where(AuditRow.created_at < time))

    async def _add(self, actor: str, action: str, entry: AuditEntry, *, outcome: str) -> int:
        row = AuditRow(
            created_at=self._clock(),
            actor=actor,
            action=action,
            target=entry.target,
            detail=entry.detail,
            outcome=outcome,
            request_id=current_request_id() or "",
        )
        async with self._database.transaction() as session:
            session.add(row)
            await session.flush()
        return row.id

    async def _complete(self, row_id: int, entry: AuditEntry, outcome: str) -> None:
        statement = (
            update(AuditRow)
            .where(AuditRow.id == row_id)
            .values(target=entry.target, detail=entry.detail, outcome=outcome)
        )
        async with self._database.transaction() as session:
            await session.execute(statement)
