"""API keys: making, checking, changing and ending them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable, FailedPrecondition, InvalidArgument, Unauthenticated
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.access.changes import AccessChanges
from flow2api_token_service.access.key_policy import policy_values
from flow2api_token_service.access.models import ApiKeyRow
from flow2api_token_service.access.repository import ApiKeyRepository
from flow2api_token_service.access.secrets import SecretHasher, new_api_key, shown_prefix
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import KeyShare
from flow2api_token_service.settings import MIN_API_KEY_LENGTH, AccessSettings

log = get_logger(__name__)

API_KEY = "api-key"
_MAX_SECRET_LENGTH = 512
_ONE_WORD = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key with its secret, which is nowhere else."""

    row: ApiKeyRow
    secret: str = field(repr=False)


class ApiKeys:
    """The use cases about API keys."""

    def __init__(
        self,
        *,
        database: Database,
        index: PoolIndex,
        changes: AccessChanges,
        hasher: SecretHasher,
        settings: AccessSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._index = index
        self._changes = changes
        self._hasher = hasher
        self._settings = settings
        self._clock = clock

    async def authenticate(self, secret: str) -> ApiKeyRow:
        """The key with this secret. Raises Unauthenticated, without telling why."""
        row = None
        if secret and len(secret) <= _MAX_SECRET_LENGTH:
            async with self._database.transaction(read_only=True) as session:
                row = await ApiKeyRepository(session).find_by_hash(self._hasher.hash(secret, purpose=API_KEY))
        return self._checked(row)

    async def live(self, api_key_id: str) -> ApiKeyRow:
        """The key of this id, as long as it opens anything. Raises Unauthenticated, without telling why."""
        async with self._database.transaction(read_only=True) as session:
            return self._checked(await ApiKeyRepository(session).find(api_key_id))

    def time_left(self, row: ApiKeyRow) -> timedelta:
        """How long a live key lasts, as far as is known."""
        return timedelta.max if row.expires_at is None else max(timedelta(0), row.expires_at - self._clock())

    async def create(self, values: Mapping[str, Any], *, secret: str = "") -> MadeKey:
        """Make a key; ``values`` are of its policy (`policy_values`), ``name`` at least, the others have defaults.

        Raises InvalidArgument, and Conflict when ``secret`` is in use.
        """
        now = self._clock()
        chosen = policy_values({"max_concurrency": self._settings.default_api_key_concurrency, **values}, now=now)
        if secret and not MIN_API_KEY_LENGTH <= len(secret) <= _MAX_SECRET_LENGTH:
            raise InvalidArgument.of("secret", f"A key has {MIN_API_KEY_LENGTH} to {_MAX_SECRET_LENGTH} characters.")
        if secret and not _ONE_WORD.fullmatch(secret):
            # Another one could not be sent: it stands in a header.
            raise InvalidArgument.of("secret", "A key has printable ASCII characters only, none of them blank.")
        secret = secret or new_api_key()
        row = ApiKeyRow(
            id=new_id("key"),
            prefix=shown_prefix(secret),
            secret_hash=self._hasher.hash(secret, purpose=API_KEY),
            created_at=now,
            **chosen,
        )
        async with self._database.transaction() as session:
            await ApiKeyRepository(session).add(row)
        await self._publish(row)
        return MadeKey(row, secret)

    async def update(self, api_key_id: str, values: Mapping[str, Any]) -> ApiKeyRow:
        """Change fields of its policy (`policy_values`). What is in flight goes on.

        Raises InvalidArgument, NotFound, and FailedPrecondition API_KEY_REVOKED.
        """
        chosen = policy_values(values, now=self._clock())
        async with self._database.transaction() as session:
            row = await ApiKeyRepository(session).get(api_key_id, lock=True)
            if row.revoked_at is not None:
                raise FailedPrecondition("This API key was revoked.", reason="API_KEY_REVOKED")
            for field, value in chosen.items():
                setattr(row, field, value)
            row.revision += 1
        await self._changes.tell(row.id)
        await self._publish(row)
        return row

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
        await self._changes.tell(row.id)
        return row

    async def put_shares(self, *, replace_all: bool = False) -> None:
        """Write the shares of all keys to Redis (`PoolIndex.put_keys`). Raises DependencyUnavailable."""
        async with self._database.transaction(read_only=True) as session:
            rows = await ApiKeyRepository(session).all()
        await self._index.put_keys([_share(row) for row in rows], replace_all=replace_all)

    async def _publish(self, row: ApiKeyRow) -> None:
        try:
            await self._index.put_keys([_share(row)])
        except DependencyUnavailable:
            # The change is stored and must not be reported as failed; the next resync writes it.
            log.warning("key_share_write_missed", api_key_id=row.id)

    def _checked(self, row: ApiKeyRow | None) -> ApiKeyRow:
        if row is None or row.revoked_at is not None or (row.expires_at and row.expires_at <= self._clock()):
            # OpenAI's words: LiteLLM's client knows a wrong key from any other refused request by them alone.
            raise Unauthenticated("Incorrect API key provided.", reason="API_KEY_INVALID")
        return row


def _share(row: ApiKeyRow) -> KeyShare:
    return KeyShare(api_key_id=row.id, revision=row.revision, limit=row.max_concurrency, weight=row.weight)
