"""Renewing: the deadlines of many leases move in one call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.rebuild import IndexBuilder
from flow2api_token_service.leases.records import LeaseRecord


class LeaseRenewer:
    """The use case behind RenewLeases."""

    def __init__(self, *, index: PoolIndex, builder: IndexBuilder, restore_grace: timedelta) -> None:
        self._index = index
        self._builder = builder
        self._restore_grace = restore_grace

    async def renew(self, leases: Sequence[LeaseRecord], duration: timedelta) -> list[datetime | None]:
        """The new deadlines; None for a lease that was lost and whose token has no room to take it back in."""
        return await self._builder.with_index(partial(self._index.renew, leases, duration))

    async def is_restoring(self) -> bool:
        """Whether the pool has lost its leases, and waits for all of their holders to renew them."""
        return await self._index.is_restoring()

    async def finish_restoring(self) -> None:
        """All leases of videos have been renewed: those of others have a last while to come back in."""
        await self._index.finish_restoring(self._restore_grace)
