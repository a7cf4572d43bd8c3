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

# Only the owner frees or prolongs a lock: after its time it may belong to somebody else.
_FREE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_PROLONG = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"


class RedisLocks:
    """Named locks of all replicas."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._free = redis.register_script(_FREE)
        self._prolong = redis.register_script(_PROLONG)

    @asynccontextmanager
    async def try_hold(self, name: str, lifetime: timedelta, *, keep_alive: bool = False) -> AsyncIterator[bool]:
        """Hold a lock for the block if nobody has it, for ``lifetime`` at most; tells whether it is held.

        With ``keep_alive`` the lock lives as long as the block, and for ``lifetime`` after its process was killed; so a
        short one will do for long work. Nothing stops the block when the lock is lost all the same (its process stood
        still, Redis was flushed): what it writes must be guarded otherwise.
        Raises DependencyUnavailable when Redis is away at the start; when it is away at the end, the lock ends by time.
        """
        key, owner = f"{KEY_PREFIX}:lock:{name}", new_id()
        with redis_errors():
            is_mine = bool(await self._redis.set(key, owner, nx=True, px=_milliseconds(lifetime)))
        if not is_mine:
            yield False
            return
        is_over = asyncio.Event()
        prolonging = asyncio.create_task(self._prolong_until(is_over, key, owner, lifetime)) if keep_alive else None
        try:
            yield True
        finally:
            is_over.set()
            if prolonging is not None:
                # It ends by the event; the cancellation only keeps it from waiting for Redis.
                prolonging.cancel()
            await self._give_back(key, owner)

    async def is_held(self, name: str) -> bool:
        """Whether somebody has the lock now. Raises DependencyUnavailable."""
        with redis_errors():
            return bool(await self._redis.exists(f"{KEY_PREFIX}:lock:{name}"))

    async def wait_until_free(self, name: str) -> None:
        """Return when nobody has the lock, at the latest when its time is over. Raises DependencyUnavailable."""
        while True:
            if not await self.is_held(name):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _prolong_until(self, is_over: asyncio.Event, key: str, owner: str, lifetime: timedelta) -> None:
        while not is_over.is_set():
            await asyncio.sleep(lifetime.total_seconds() / 3)
            try:
                with redis_errors():
                    await self._prolong(keys=[key], args=[owner, _milliseconds(lifetime)])
            except DependencyUnavailable:
                log.warning("lock_not_prolonged", lock=key)

    async def _give_back(self, key: str, owner: str) -> None:
        try:
            with redis_errors():
                await self._free(keys=[key], args=[owner])
        except DependencyUnavailable:
            log.warning("lock_left_to_expire", lock=key)


def _milliseconds(lifetime: timedelta) -> int:
    return lifetime // timedelta(milliseconds=1)
