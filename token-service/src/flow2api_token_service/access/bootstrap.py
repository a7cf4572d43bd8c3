"""The first API key and the first administrator, from the settings. Safe to repeat, from many replicas."""

from __future__ import annotations

from pydantic import SecretStr

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Conflict
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.access.api_keys import API_KEY
from flow2api_token_service.access.changes import AccessChanges
from flow2api_token_service.access.models import AdminRow, ApiKeyRow
from flow2api_token_service.access.passwords import Passwords
from flow2api_token_service.access.repository import AdminRepository, ApiKeyRepository
from flow2api_token_service.access.secrets import SecretHasher, shown_prefix
from flow2api_token_service.settings import AccessSettings

log = get_logger(__name__)

SETTINGS_KEY_ID = "key_settings"
_SETTINGS_PASSWORD = "settings-password"  # noqa: S105 - the name of a purpose


class Bootstrap:
    """Makes what the settings name exist. What an administrator changed since stays until the setting changes."""

    def __init__(
        self,
        *,
        database: Database,
        changes: AccessChanges,
        passwords: Passwords,
        hasher: SecretHasher,
        settings: AccessSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._changes = changes
        self._passwords = passwords
        self._hasher = hasher
        self._settings = settings
        self._clock = clock

    async def run(self) -> None:
        """Write the key and the administrator of the settings. Raises DependencyUnavailable."""
        if self._settings.api_key is not None:
            try:
                await self._ensure_key(self._settings.api_key.get_secret_value())
            except Conflict:
                log.info("settings_api_key_known")  # Another replica, or an administrator, has made a key of it.
        if self._settings.admin_password is not None:
            try:
                await self._ensure_admin(self._settings.admin_username, self._settings.admin_password)
            except Conflict:
                log.info("settings_admin_known")

    async def _ensure_key(self, secret: str) -> None:
        secret_hash = self._hasher.hash(secret, purpose=API_KEY)
        async with self._database.transaction() as session:
            keys = ApiKeyRepository(session)
            if await keys.find_by_hash(secret_hash) is not None:
                return
            row = await keys.find(SETTINGS_KEY_ID, lock=True)
            if row is None:
                await keys.add(self._new_key(secret, secret_hash))
                return
            row.secret_hash, row.prefix, row.revoked_at = secret_hash, shown_prefix(secret), None
        await self._changes.tell(SETTINGS_KEY_ID)
        log.info("settings_api_key_replaced")

    def _new_key(self, secret: str, secret_hash: str) -> ApiKeyRow:
        return ApiKeyRow(
            id=SETTINGS_KEY_ID,
            name="settings",
            prefix=shown_prefix(secret),
            secret_hash=secret_hash,
            max_concurrency=self._settings.default_api_key_concurrency,
            created_at=self._clock(),
        )

    async def _ensure_admin(self, username: str, password: SecretStr) -> None:
        # A fast hash of what a person chose would undo the slow one beside it.
        salt = bytes.fromhex(self._hasher.hash(username, purpose=_SETTINGS_PASSWORD))
        settings_hash = await self._passwords.fingerprint(password.get_secret_value(), salt=salt)
        async with self._database.transaction(read_only=True) as session:
            known = await AdminRepository(session).find_by_username(username, with_deleted=True)
        if known is not None and known.settings_hash == settings_hash:
            return
        password_hash = await self._passwords.hash(password.get_secret_value())
        now = self._clock()
        async with self._database.transaction() as session:
            admins = AdminRepository(session)
            row = await admins.find_by_username(username, with_deleted=True)
            if row is None:
                row = AdminRow(id=new_id("admin"), username=username, created_at=now)
                row.password_hash, row.settings_hash, row.updated_at = password_hash, settings_hash, now
                await admins.add(row)
                return
            row.password_hash, row.settings_hash, row.updated_at = password_hash, settings_hash, now
            row.deleted_at = None
            await admins.delete_sessions(row.id)
        log.info("settings_admin_replaced", admin_id=row.id)
