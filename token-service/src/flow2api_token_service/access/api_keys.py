"""API keys: making, checking and ending them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable, InvalidArgument, Unauthenticated
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.access.models import ApiKeyRow
from flow2api_token_service.access.repository import ApiKeyRepository
from flow2api_token_service.access.secrets import SecretHasher, new_api_key, shown_prefix
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.settings import MIN_API_KEY_LENGTH, AccessSettings

log = get_logger(__name__)

API_KEY = "api-key"
_MAX_SECRET_LENGTH = 512
_MAX_NAME_LENGTH = 100


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key with its secret, which is nowhere else."""

    row: ApiKeyRow
    secret: str = field(repr=False)


class ApiKeys:
    """The use cases about API keys."""

    def __init__(
        self, *, database: Database, index: PoolIndex, hasher: SecretHasher, settings: AccessSettings, clock: Clock
    ) -> None:
        self._database = database
        self._index = index
        self._hasher = hasher
        self._settings = settings
        self._clock = clock

    async def authenticate(self, secret: str) -> ApiKeyRow:
        """The key with this secret. Raises Unauthenticated, without telling why."""
        row = None
        if secret and len(secret) <= _MAX_SECRET_LENGTH:
            async with self._database.transaction(read_only=True) as session:
                row = await ApiKeyRepository(session).find_by_hash(self._hasher.hash(secret, purpose=API_KEY))
        if row is None or row.revoked_at is not None or _is_past(row.expires_at, self._clock()):
            raise Unauthenticated("The API key is not valid.", reason="API_KEY_INVALID")
        return row

    async def create(
        self, *, name: str, max_concurrency: int | None, expires_at: datetime | None, secret: str = ""
    ) -> MadeKey:
        """Make a key. Raises InvalidArgument, and Conflict when ``secret`` is in use."""
        if not name.strip() or len(name) > _MAX_NAME_LENGTH:
            raise InvalidArgument.of("name", f"A name of at most {_MAX_NAME_LENGTH} characters is required.")
        if max_concurrency is not None and max_concurrency < -1:
            raise InvalidArgument.of("max_concurrency", "A limit is -1 (unlimited) or more.")
        if secret and not MIN_API_KEY_LENGTH <= len(secret) <= _MAX_SECRET_LENGTH:
            raise InvalidArgument.of("secret", f"A key has {MIN_API_KEY_LENGTH} to {_MAX_SECRET_LENGTH} characters.")
        now = self._clock()
        if _is_past(expires_at, now):
            raise InvalidArgument.of("expire_time", "This time has passed.")
        secret = secret or new_api_key()
        row = ApiKeyRow(
            id=new_id("key"),
            name=name.strip(),
            prefix=shown_prefix(secret),
            secret_hash=self._hasher.hash(secret, purpose=API_KEY),
            max_concurrency=self._settings.default_api_key_concurrency if max_concurrency is None else max_concurrency,
            created_at=now,
            expires_at=expires_at,
        )
        async with self._database.transaction() as session:
            await ApiKeyRepository(session).add(row)
        await self._publish(row)
        return MadeKey(row, secret)

    async def get(self, api_key_id: str) -> ApiKeyRow:
        """One key. Raises NotFound."""
        async with self._database.transaction(read_only=True) as session:
            return await ApiKeyRepository(session).get(api_key_id)

    async def page(self, *, after_id: str, limit: int) -> Sequence[ApiKeyRow]:
        """Keys, oldest first. Raises NotFound when there is no key ``after_id``."""
        async with self._database.transaction(read_only=True) as session:
            keys = ApiKeyRepository(session)
            after = None
            if after_id:
                last = await keys.get(after_id)
                after = (last.created_at, last.id)
            return await keys.page(after=after, limit=limit)

    async def revoke(self, api_key_id: str) -> ApiKeyRow:
        """End a key for good; the first time stays. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await ApiKeyRepository(session).get(api_key_id, lock=True)
            if row.revoked_at is None:
                row.revoked_at = self._clock()
                log.info("api_key_revoked", api_key_id=row.id)
        return row

    async def put_limits(self) -> None:
        """Write the limits of all keys to Redis. Raises DependencyUnavailable."""
        async with self._database.transaction(read_only=True) as session:
            rows = await ApiKeyRepository(session).all()
        await self._index.put_key_limits({row.id: row.max_concurrency for row in rows})

    async def _publish(self, row: ApiKeyRow) -> None:
        try:
            await self._index.put_key_limits({row.id: row.max_concurrency})
        except DependencyUnavailable:
            # The key is made and its secret must reach the caller; the next resync writes the limit.
            log.warning("key_limit_write_missed", api_key_id=row.id)


def _is_past(time: datetime | None, now: datetime) -> bool:
    return time is not None and time <= now
