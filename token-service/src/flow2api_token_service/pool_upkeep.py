"""What keeps the pool index true beside the calls."""

from __future__ import annotations

from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_token_service.access.api_keys import ApiKeys
from flow2api_token_service.leases.lua_values import IndexMissing
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.tokens.changes import TokenChanges


class PoolUpkeep:
    """Rounds of the service's background loops. All raise DependencyUnavailable."""

    def __init__(
        self, *, index: PoolIndex, builder: IndexBuilder, changes: TokenChanges, api_keys: ApiKeys, clock: Clock
    ) -> None:
        self._index = index
        self._builder = builder
        self._changes = changes
        self._api_keys = api_keys
        self._clock = clock
        self._synced_until: datetime = clock()

    async def sweep(self) -> None:
        """Write what Redis has missed, end leases past their deadline, wake tokens; rebuild an index that is lost, or
        that a restart of Redis may have brought back as it was before."""
        await self._builder.ensure_current()
        try:
            await self._changes.retry()
            while await self._index.sweep():
                pass
        except IndexMissing:
            await self._builder.ensure_built()

    async def resync(self) -> None:
        """Write the latest changes in SQL to Redis once more: a process may have been killed between the two."""
        start = self._clock()
        await self._changes.resync(self._synced_until)
        await self._api_keys.put_shares()
        self._synced_until = start
