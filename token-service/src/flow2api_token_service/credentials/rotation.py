"""Rotated secrets between the upstream's answer and the commit in SQL: a process may be killed there."""

from __future__ import annotations

from datetime import timedelta

from redis.asyncio import Redis

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors
from flow2api_token_service.secrets.vault import SECRET, SealBroken, Vault
from flow2api_upstream.port import Secret

log = get_logger(__name__)

_MEMORY = timedelta(days=7)


class RotatedSecrets:
    """A note in Redis per token, sealed like the secrets in SQL, from the answer to the commit.

    What remains unprotected is the moment between the answer's last byte and Redis' ``OK``, and a crash of Redis within
    its own persistence (appendfsync everysec: a second).
    """

    def __init__(self, *, redis: Redis, vault: Vault) -> None:
        self._redis = redis
        self._vault = vault

    async def keep(self, old: Credential, rotated: Secret) -> None:
        """Note that ``rotated`` replaces the secret of ``old``. Goes on without a note when Redis is away: the commit
        follows."""
        note = f"{self._fingerprint(old)} {self._vault.seal(rotated.value, purpose=SECRET)}"
        try:
            with redis_errors():
                await self._redis.set(_key(old.token_id), note, ex=_MEMORY)
        except DependencyUnavailable:
            log.warning("rotated_secret_not_noted", token_id=old.token_id)

    async def find(self, old: Credential) -> Secret | None:
        """What has replaced the secret of ``old`` without being committed. Raises DependencyUnavailable."""
        with redis_errors():
            note = await self._redis.get(_key(old.token_id))
        replaced, _, sealed = str(note or "").partition(" ")
        if not sealed or replaced != self._fingerprint(old):
            # None, or the stored secret has changed since: it was committed, or an administrator gave another one.
            return None
        try:
            secret = Secret(self._vault.open(sealed, purpose=SECRET))
        except SealBroken:
            # The secret key was exchanged in between.
            return None
        log.info("rotated_secret_found", token_id=old.token_id)
        return secret

    async def forget(self, token_id: int) -> None:
        """It is committed. A note that stays is not used again."""
        try:
            with redis_errors():
                await self._redis.delete(_key(token_id))
        except DependencyUnavailable:
            log.info("rotated_secret_note_left", token_id=token_id)

    def _fingerprint(self, old: Credential) -> str:
        return self._vault.fingerprint(old.secret.value, purpose=old.provider)


def _key(token_id: int) -> str:
    return f"{KEY_PREFIX}:rotated:{token_id}"
