"""Administrators: logging in and out, changing the password."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Unauthenticated
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.access.login_limit import LoginLimit
from flow2api_token_service.access.models import AdminRow, AdminSessionRow
from flow2api_token_service.access.passwords import Passwords, check_password
from flow2api_token_service.access.repository import AdminRepository
from flow2api_token_service.access.secrets import SecretHasher, new_session_token
from flow2api_token_service.settings import AccessSettings

log = get_logger(__name__)

SESSION = "session"
_MAX_LENGTH = 1024
_MAX_ADDRESS_LENGTH = 100
_MAX_USER_AGENT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A login with its bearer, which is nowhere else."""

    admin: AdminRow
    session_id: str
    expires_at: datetime
    token: str = field(repr=False)


class Admins:
    """The use cases about administrators."""

    def __init__(
        self,
        *,
        database: Database,
        passwords: Passwords,
        hasher: SecretHasher,
        limit: LoginLimit,
        settings: AccessSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._hasher = hasher
        self._limit = limit
        self._settings = settings
        self._clock = clock

    async def login(self, *, username: str, password: str, client_address: str, user_agent: str = "") -> OpenedSession:
        """Open a session. Raises Unauthenticated, and CapacityError after too many wrong logins."""
        await self._limit.enter(username=username, client_address=client_address)
        admin = None
        if len(username) <= _MAX_LENGTH and len(password) <= _MAX_LENGTH:
            async with self._database.transaction(read_only=True) as session:
                admin = await AdminRepository(session).find_by_username(username)
        is_right = await self._passwords.matches(admin.password_hash if admin else None, password[:_MAX_LENGTH])
        if admin is None or not is_right:
            log.warning("login_refused", client_address=client_address)
            raise Unauthenticated("The name or the password is wrong.", reason="LOGIN_INVALID")
        await self._limit.forget(username=username, client_address=client_address)
        return await self._open(admin, client_address=client_address, user_agent=user_agent)

    async def authenticate(self, token: str) -> tuple[AdminSessionRow, AdminRow]:
        """A live session and whose it is. Raises Unauthenticated."""
        found = None
        if token and len(token) <= _MAX_LENGTH:
            async with self._database.transaction(read_only=True) as session:
                found = await AdminRepository(session).find_session(self._hash(token), self._clock())
        if found is None:
            raise Unauthenticated("The session is not valid.", reason="SESSION_INVALID")
        return found

    async def logout(self, token: str) -> None:
        """End a session. Safe to repeat."""
        async with self._database.transaction() as session:
            await AdminRepository(session).delete_session(self._hash(token))

    async def change_password(self, *, token: str, old_password: str, new_password: str) -> None:
        """Change the password of the session's administrator, and end their other sessions.

        Raises Unauthenticated when the session or the old password is wrong (which counts as a wrong login), and
        InvalidArgument.
        """
        _, admin = await self.authenticate(token)
        check_password("new_password", new_password)
        # A count of its own: whoever closes the name for logins does not close this.
        attempts = f"change-password/{admin.id}"
        await self._limit.enter(username=attempts, client_address="")
        if not await self._passwords.matches(admin.password_hash, old_password[:_MAX_LENGTH]):
            raise Unauthenticated("The old password is wrong.", reason="LOGIN_INVALID")
        await self._limit.forget(username=attempts, client_address="")
        password_hash = await self._passwords.hash(new_password)
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            row = await admins.find_by_username(admin.username)
            if row is None:
                raise Unauthenticated("The session is not valid.", reason="SESSION_INVALID")
            row.password_hash = password_hash
            row.updated_at = self._clock()
            await admins.delete_sessions(row.id, except_hash=self._hash(token))
        log.info("admin_password_changed", admin_id=admin.id)

    async def _open(self, admin: AdminRow, *, client_address: str, user_agent: str) -> OpenedSession:
        now, token = self._clock(), new_session_token()
        expires_at = now + self._settings.session_lifetime
        session_id = new_id("session")
        row = AdminSessionRow(
            token_hash=self._hash(token),
            id=session_id,
            admin_id=admin.id,
            created_at=now,
            expires_at=expires_at,
            client_address=_shown(client_address, _MAX_ADDRESS_LENGTH),
            user_agent=_shown(user_agent, _MAX_USER_AGENT_LENGTH),
        )
        async with self._database.transaction() as session:
            await AdminRepository(session).add_session(row)
        log.info("admin_logged_in", admin_id=admin.id)
        return OpenedSession(admin, session_id, expires_at, token)

    def _hash(self, token: str) -> str:
        return self._hasher.hash(token, purpose=SESSION)


def _shown(text: str, max_length: int) -> str:
    """What a client says of itself, fit to be stored and shown."""
    return "".join(character for character in text if character.isprintable())[:max_length]
