"""Builds the pool index from SQL: at the start, and whenever Redis has lost it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.leases.lua_values import IndexMissing
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import Strategy
from flow2api_token_service.leases.redis_lock import RedisLocks

log = get_logger(__name__)
T = TypeVar("T")

_LOCK_NAME = "rebuild"
_LOCK_LIFETIME = timedelta(seconds=30)


class IndexBuilder:
    """Makes sure that there is a complete index; one replica builds it, the others wait for it."""

    def __init__(
        self,
        *,
        index: PoolIndex,
        locks: RedisLocks,
        put_tokens: Callable[[], Awaitable[None]],
        put_keys: Callable[[], Awaitable[None]],
        strategy: Strategy = Strategy.LEAST_LOADED,
    ) -> None:
        self._index = index
        self._locks = locks
        self._put_tokens = put_tokens
        self._put_keys = put_keys
        self._strategy = strategy
        self._building = asyncio.Lock()

    async def ensure_built(self) -> None:
        """Return when the index is complete. Raises DependencyUnavailable when Redis or SQL is away."""
        async with self._building:
            while not await self._index.is_built():
                async with self._locks.try_hold(_LOCK_NAME, _LOCK_LIFETIME) as is_mine:
                    if is_mine:
                        await self.build()
                        return
                await self._locks.wait_until_free(_LOCK_NAME)

    async def build(self) -> None:
        """Write everything from SQL over what Redis has. Leases in flight are left alone."""
        await self._index.put_strategy(self._strategy)
        await self._put_keys()
        await self._put_tokens()
        await self._index.mark_built(new_id())
        log.info("pool_index_built")

    async def with_index(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, and once more after building the index if it was missing."""
        try:
            return await call()
        except IndexMissing:
            await self.ensure_built()
            return await call()
