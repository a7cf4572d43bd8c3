"""Administrators: made, listed, removed, given new passwords."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Conflict, FailedPrecondition, InvalidArgument
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.access.models import AdminRow
from flow2api_token_service.access.passwords import Passwords, check_password
from flow2api_token_service.access.repository import AdminRepository

log = get_logger(__name__)

# What no hash of a password is.
_NO_PASSWORD = ""
_USERNAME = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,98}[^\s\x00-\x1f\x7f])?")


class AdminAccounts:
    """The use cases about who is an administrator."""

    def __init__(self, *, database: Database, passwords: Passwords, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def page(self, *, after_username: str, limit: int) -> Sequence[AdminRow]:
        """Administrators by name."""
        async with self._database.transaction(read_only=True) as session:
            return await AdminRepository(session).page(after_username=after_username, limit=limit)

    async def create(self, *, username: str, password: str) -> AdminRow:
        """Make an administrator. Raises InvalidArgument, and Conflict ADMIN_EXISTS."""
        if not _USERNAME.fullmatch(username):
            message = "A name has 1 to 100 characters that can be seen, and no space at either end."
            raise InvalidArgument.of("username", message)
        check_password("password", password)
        password_hash = await self._passwords.hash(password)
        now = self._clock()
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            row = await admins.find_by_username(username, with_deleted=True)
            if row is None:
                row = AdminRow(
                    id=new_id("admin"), username=username, password_hash=password_hash, created_at=now, updated_at=now
                )
                await admins.add(row)
            elif row.deleted_at is None:
                raise Conflict("This name is taken.", reason="ADMIN_EXISTS")
            else:
                row.password_hash, row.deleted_at, row.created_at, row.updated_at = password_hash, None, now, now
        log.info("admin_created", admin_id=row.id)
        return row

    async def delete(self, admin_id: str) -> None:
        """Remove an administrator, with their sessions. Raises NotFound, and FailedPrecondition LAST_ADMIN."""
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            everybody = await admins.lock_all()
            row = await admins.get(admin_id)
            if len(everybody) == 1:
                raise FailedPrecondition("The last administrator cannot be removed.", reason="LAST_ADMIN")
            row.deleted_at, row.password_hash = self._clock(), _NO_PASSWORD
            await admins.delete_sessions(row.id)
        log.info("admin_deleted", admin_id=admin_id)

    async def reset_password(self, admin_id: str, new_password: str) -> None:
        """Give a new password, and end all their sessions. Raises NotFound, InvalidArgument."""
        check_password("new_password", new_password)
        password_hash = await self._passwords.hash(new_password)
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            row = await admins.get(admin_id)
            row.password_hash, row.updated_at = password_hash, self._clock()
            await admins.delete_sessions(row.id)
        log.info("admin_password_reset", admin_id=admin_id)
