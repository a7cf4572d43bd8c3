"""Proves at the start that the secret key is the one that stored secrets were sealed with, and reads the hash keys."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import SecretStr
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import InternalError
from flow2api_common.logs import get_logger
from flow2api_token_service.access.models import ApiKeyRow
from flow2api_token_service.secrets.hash_keys import HashKeyName, HashKeys, derived_hash_keys, new_hash_keys
from flow2api_token_service.secrets.models import SealedKeyRow
from flow2api_token_service.secrets.vault import SECRET, SealBroken, Vault
from flow2api_token_service.tokens.models import TokenRow

log = get_logger(__name__)


class WrongSecretKey(InternalError):
    """The stored secrets were sealed with another secret key; the service must not start."""

    default_reason = "WRONG_SECRET_KEY"


class KeyCheck:
    """Run before anything is hashed or sealed."""

    def __init__(
        self, *, database: Database, vault: Vault, secret_key: SecretStr, hash_keys: HashKeys, clock: Clock
    ) -> None:
        self._database = database
        self._vault = vault
        self._secret_key = secret_key
        self._hash_keys = hash_keys
        self._clock = clock

    async def run(self) -> None:
        """Make the hash keys known. Safe to repeat, from many replicas.

        Raises WrongSecretKey, DependencyUnavailable.
        """
        try:
            keys = await self._read_or_make()
        except IntegrityError:
            keys = await self._read_or_make()  # Another replica has made them at the same moment.
        self._hash_keys.put(keys)

    async def _read_or_make(self) -> Mapping[HashKeyName, bytes]:
        async with self._database.transaction() as session:
            rows = await ensure_hash_keys(session, vault=self._vault, secret_key=self._secret_key, now=self._clock())
            return {HashKeyName(row.name): self._open(row) for row in rows}

    def _open(self, row: SealedKeyRow) -> bytes:
        try:
            return base64.b64decode(self._vault.open(row.sealed, purpose=hash_key_purpose(row.name)))
        except SealBroken:
            raise _wrong_key() from None


async def ensure_hash_keys(
    session: AsyncSession, *, vault: Vault, secret_key: SecretStr, now: datetime
) -> Sequence[SealedKeyRow]:
    """The stored hash keys; made when there are none. Raises WrongSecretKey, and IntegrityError in a race."""
    rows = (await session.execute(select(SealedKeyRow).with_for_update())).scalars().all()
    if rows:
        return rows
    sample = (await session.execute(select(TokenRow.sealed_secret).limit(1))).scalar_one_or_none()
    if sample is not None:
        try:
            vault.open(sample, purpose=SECRET)
        except SealBroken:
            raise _wrong_key() from None
    has_hashes = sample is not None or (await session.execute(select(exists(select(ApiKeyRow.id))))).scalar_one()
    keys = derived_hash_keys(secret_key) if has_hashes else new_hash_keys()
    made = [
        SealedKeyRow(
            name=name.value,
            sealed=vault.seal(base64.b64encode(key).decode(), purpose=hash_key_purpose(name)),
            created_at=now,
        )
        for name, key in keys.items()
    ]
    session.add_all(made)
    await session.flush()
    log.info("hash_keys_made")
    return made


def hash_key_purpose(name: str) -> str:
    """The purpose under which a hash key is sealed."""
    return f"hash-key/{name}"


def _wrong_key() -> WrongSecretKey:
    return WrongSecretKey(
        "FLOW2API_SECRET_KEY is not the key that the stored secrets were sealed with. Set the right key; after "
        "a change of the key that was not finished, run 'flow2api secrets rotate' again."
    )
