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
        restore_limit: timedelta = timedelta(0),
    ) -> None:
        self._index = index
        self._locks = locks
        self._put_tokens = put_tokens
        self._put_keys = put_keys
        self._strategy = strategy
        self._restore_limit = restore_limit
        self._building = asyncio.Lock()
        self._server = ""

    async def ensure_built(self) -> None:
        """Return when the index is complete. Raises DependencyUnavailable when Redis or SQL is away."""
        async with self._building:
            while not await self._index.is_built():
                async with self._locks.try_hold(_LOCK_NAME, _LOCK_LIFETIME) as is_mine:
                    if is_mine:
                        await self.build()
                        return
                await self._locks.wait_until_free(_LOCK_NAME)

    async def ensure_current(self) -> None:
        """Build the index anew when Redis was started again: it may have come back as it was some time ago, without
        what was written since, as with snapshots or a replica that took over. Raises DependencyUnavailable.
        """
        async with self._building:
            server = await self._index.server_id()
            if server and self._server and server != self._server:
                log.info("redis_was_restarted")
                await self.build()

    async def build(self) -> None:
        """Write everything from SQL over what Redis has. Leases in flight are left alone.

        Where the index was lost, the leases were lost with it: their holders get some time to bring them back.
        """
        while True:
            was_lost = not await self._index.is_built()
            server, mark = await self._index.server_id(), await self._index.begin_build(new_id())
            await self._index.put_strategy(self._strategy)
            await self._put_keys()
            await self._put_tokens()
            if was_lost and self._restore_limit:
                await self._index.begin_restoring(self._restore_limit)
            if await self._index.finish_build(mark):
                break
            log.warning("pool_index_lost_while_built")
        self._server = server
        log.info("pool_index_built", was_lost=was_lost)

    async def with_index(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, and once more after building the index if it was missing."""
        try:
            return await call()
        except IndexMissing:
            await self.ensure_built()
            return await call()
