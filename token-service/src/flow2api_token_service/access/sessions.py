"""Logins of administrators that are open: listed and ended."""

from __future__ import annotations

from collections.abc import Sequence

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_token_service.access.models import AdminRow, AdminSessionRow
from flow2api_token_service.access.repository import AdminRepository


class Sessions:
    """The use cases about sessions. Gateways keep nothing about them, so that what is ended is ended at once."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(self, *, admin_id: str, after_id: str, limit: int) -> Sequence[tuple[AdminSessionRow, AdminRow]]:
        """Live sessions and whose they are, newest first. Raises InvalidArgument when there is none ``after_id``."""
        async with self._database.transaction(read_only=True) as session:
            admins = AdminRepository(session)
            after = None
            if after_id:
                last = await admins.find_session_by_id(after_id)
                if last is None:
                    raise InvalidArgument.of("page_token", "The session that this page began after has ended.")
                after = (last.created_at, after_id)
            return await admins.sessions(admin_id=admin_id, now=self._clock(), after=after, limit=limit)

    async def revoke(self, session_id: str) -> AdminSessionRow:
        """End one. Raises NotFound."""
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            row = await admins.find_session_by_id(session_id) if session_id else None
            if row is None:
                raise NotFound("There is no such session.", reason="SESSION_NOT_FOUND")
            await admins.delete_session(row.token_hash)
        return row

    async def revoke_all(self, *, admin_id: str, except_session_id: str) -> int:
        """End those of an administrator, or of all, but for one; gives how many."""
        async with self._database.transaction() as session:
            return await AdminRepository(session).delete_all_sessions(
                admin_id=admin_id, except_session_id=except_session_id
            )
