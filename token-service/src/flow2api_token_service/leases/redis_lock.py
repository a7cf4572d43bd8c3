"""Locks across replicas, in Redis. They end by themselves, so that a killed holder blocks nobody for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from redis.asyncio import Redis

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

log = get_logger(__name__)

_POLL_SECONDS = 0.05

# Only the owner frees a lock: after its time it may belong to somebody else.
_FREE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLocks:
    """Named locks of all replicas."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._free = redis.register_script(_FREE)

    @asynccontextmanager
    async def try_hold(self, name: str, lifetime: timedelta) -> AsyncIterator[bool]:
        """Hold a lock for the block if nobody has it, for ``lifetime`` at most; tells whether it is held.

        Raises DependencyUnavailable when Redis is away at the start; when it is away at the end, the lock ends by time.
        """
        key, owner = f"{KEY_PREFIX}:lock:{name}", new_id()
        with redis_errors():
            is_mine = bool(await self._redis.set(key, owner, nx=True, px=lifetime // timedelta(milliseconds=1)))
        try:
            yield is_mine
        finally:
            if is_mine:
                await self._give_back(key, owner)

    async def wait_until_free(self, name: str) -> None:
        """Return when nobody has the lock, at the latest when its time is over. Raises DependencyUnavailable."""
        key = f"{KEY_PREFIX}:lock:{name}"
        while True:
            with redis_errors():
                is_held = bool(await self._redis.exists(key))
            if not is_held:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _give_back(self, key: str, owner: str) -> None:
        try:
            with redis_errors():
                await self._free(keys=[key], args=[owner])
        except DependencyUnavailable:
            log.warning("lock_left_to_expire", lock=key)
