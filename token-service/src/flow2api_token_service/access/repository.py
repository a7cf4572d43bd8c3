"""Queries on API keys, administrators and sessions. Nothing commits here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.errors import Conflict, NotFound
from flow2api_token_service.access.models import AdminRow, AdminSessionRow, ApiKeyRow


class ApiKeyRepository:
    """API keys, through one session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: ApiKeyRow) -> None:
        """Insert a key. Raises Conflict when its secret is in use."""
        self._session.add(row)
        try:
            await self._session.flush()
        except IntegrityError as exc:
            raise Conflict("This secret is in use already.", reason="API_KEY_EXISTS") from exc

    async def get(self, api_key_id: str, *, lock: bool = False) -> ApiKeyRow:
        """One key. Raises NotFound."""
        row = await self.find(api_key_id, lock=lock)
        if row is None:
            raise NotFound("There is no such API key.", reason="API_KEY_NOT_FOUND")
        return row

    async def find(self, api_key_id: str, *, lock: bool = False) -> ApiKeyRow | None:
        """One key, if it exists."""
        statement = select(ApiKeyRow).where(ApiKeyRow.id == api_key_id)
        if lock:
            statement = statement.with_for_update()
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def find_by_hash(self, secret_hash: str) -> ApiKeyRow | None:
        """The key with this secret."""
        statement = select(ApiKeyRow).where(ApiKeyRow.secret_hash == secret_hash)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def page(self, *, after: tuple[datetime, str] | None, limit: int) -> Sequence[ApiKeyRow]:
        """Keys, oldest first, from the one after ``after`` (its time and id)."""
        statement = select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id).limit(limit)
        if after is not None:
            time, key_id = after
            statement = statement.where(
                (ApiKeyRow.created_at > time) | ((ApiKeyRow.created_at == time) & (ApiKeyRow.id > key_id))
            )
        return (await self._session.execute(statement)).scalars().all()

    async def all(self) -> Sequence[ApiKeyRow]:
        """Every key."""
        return (await self._session.execute(select(ApiKeyRow))).scalars().all()


class AdminRepository:
    """Administrators and their sessions, through one session of the database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: AdminRow) -> None:
        """Insert an administrator. Raises Conflict when the name is taken."""
        self._session.add(row)
        try:
            await self._session.flush()
        except IntegrityError as exc:
            raise Conflict("This name is taken.", reason="ADMIN_EXISTS") from exc

    async def find_by_username(self, username: str, *, with_deleted: bool = False) -> AdminRow | None:
        """The administrator of that name."""
        statement = select(AdminRow).where(AdminRow.username == username)
        if not with_deleted:
            statement = statement.where(AdminRow.deleted_at.is_(None))
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def page(self, *, after_username: str, limit: int) -> Sequence[AdminRow]:
        """Administrators by name, from the one after ``after_username``."""
        statement = (
            select(AdminRow)
            .where(AdminRow.deleted_at.is_(None), AdminRow.username > after_username)
            .order_by(AdminRow.username)
            .limit(limit)
        )
        return (await self._session.execute(statement)).scalars().all()

    async def lock_all(self) -> Sequence[AdminRow]:
        """Every administrator, held until the transaction ends: nobody else is removed meanwhile."""
        statement = select(AdminRow).where(AdminRow.deleted_at.is_(None)).order_by(AdminRow.id).with_for_update()
        return (await self._session.execute(statement)).scalars().all()

    async def get(self, admin_id: str) -> AdminRow:
        """One administrator, locked. Raises NotFound."""
        statement = select(AdminRow).where(AdminRow.id == admin_id, AdminRow.deleted_at.is_(None)).with_for_update()
        row = (await self._session.execute(statement)).scalar_one_or_none()
        if row is None:
            raise NotFound("There is no such administrator.", reason="ADMIN_NOT_FOUND")
        return row

    async def add_session(self, row: AdminSessionRow) -> None:
        """Insert a login, and forget those that are over."""
        await self._session.execute(delete(AdminSessionRow).where(AdminSessionRow.expires_at <= row.created_at))
        self._session.add(row)
        await self._session.flush()

    async def find_session(self, token_hash: str, now: datetime) -> tuple[AdminSessionRow, AdminRow] | None:
        """A live login and whose it is."""
        statement = (
            select(AdminSessionRow, AdminRow)
            .join(AdminRow, AdminRow.id == AdminSessionRow.admin_id)
            .where(
                AdminSessionRow.token_hash == token_hash,
                AdminSessionRow.expires_at > now,
                AdminRow.deleted_at.is_(None),
            )
        )
        found = (await self._session.execute(statement)).one_or_none()
        return None if found is None else (found[0], found[1])

    async def delete_session(self, token_hash: str) -> None:
        """End a login."""
        await self._session.execute(delete(AdminSessionRow).where(AdminSessionRow.token_hash == token_hash))

    async def delete_sessions(self, admin_id: str, *, except_hash: str = "") -> None:
        """End the logins of an administrator, but for one."""
        statement = delete(AdminSessionRow).where(
            AdminSessionRow.admin_id == admin_id, AdminSessionRow.token_hash != except_hash
        )
        await self._session.execute(statement)

    async def sessions(
        self, *, admin_id: str, now: datetime, after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[tuple[AdminSessionRow, AdminRow]]:
        """Live logins that have an id, newest first, from the one after ``after`` (its time and id)."""
        statement = (
            select(AdminSessionRow, AdminRow)
            .join(AdminRow, AdminRow.id == AdminSessionRow.admin_id)
            .where(AdminSessionRow.expires_at > now, AdminSessionRow.id.is_not(None))
            .order_by(AdminSessionRow.created_at.desc(), AdminSessionRow.id.desc())
            .limit(limit)
        )
        if admin_id:
            statement = statement.where(AdminSessionRow.admin_id == admin_id)
        if after is not None:
            time, session_id = after
            is_same_time = (AdminSessionRow.created_at == time) & (AdminSessionRow.id < session_id)
            statement = statement.where((AdminSessionRow.created_at < time) | is_same_time)
        return [(found[0], found[1]) for found in (await self._session.execute(statement)).all()]

    async def find_session_by_id(self, session_id: str) -> AdminSessionRow | None:
        """The login of an id."""
        statement = select(AdminSessionRow).where(AdminSessionRow.id == session_id)
        return (await self._session.execute(statement)).scalar_one_or_none()

    async def delete_all_sessions(self, *, admin_id: str = "", except_session_id: str = "") -> int:
        """End the logins of an administrator, or of all, but for one; gives how many."""
        statement = delete(AdminSessionRow)
        if admin_id:
            statement = statement.where(AdminSessionRow.admin_id == admin_id)
        if except_session_id:
            is_other = AdminSessionRow.id.is_(None) | (AdminSessionRow.id != except_session_id)
            statement = statement.where(is_other)
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount
