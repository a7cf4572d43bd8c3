"""The one way in which a stored proxy changes: SQL, then what this replica knows; the others see it in a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.proxies.directory import ProxyDirectory
from flow2api_token_service.proxies.models import ProxyRow, proxy_health_of
from flow2api_token_service.proxies.repository import ProxyRepository

log = get_logger(__name__)


class ProxyChanges:
    """Writes proxies. Every method raises DependencyUnavailable when SQL is away."""

    def __init__(self, *, database: Database, directory: ProxyDirectory, clock: Clock) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock

    async def add(self, build: Callable[[datetime], ProxyRow]) -> ProxyRow:
        """Store a new proxy. Raises Conflict when its address is known."""
        row = build(self._clock())
        async with self._database.transaction() as session:
            await ProxyRepository(session).add(row)
        await self._tell()
        return row

    async def change(self, proxy_id: int, change: Callable[[ProxyRow, datetime], bool | None]) -> ProxyRow:
        """Change one proxy under a lock; when ``change`` answers False, nothing is written.

        Raises NotFound, and Conflict when a new address is known.
        """
        async with self._database.transaction() as session:
            repository = ProxyRepository(session)
            row = await repository.get(proxy_id, lock=True)
            now, before = self._clock(), proxy_health_of(row)
            if change(row, now) is False:
                return row
            row.revision += 1
            row.updated_at = now
            await repository.flush_unique()
        if row.state != before.state:
            log.info(
                "proxy_state_changed",
                proxy_id=proxy_id,
                before=before.state,
                after=row.state,
                reason=row.state_reason or before.reason,
            )
        await self._tell()
        return row

    async def delete(self, proxy_id: int) -> None:
        """Remove one proxy. Raises NotFound."""
        async with self._database.transaction() as session:
            repository = ProxyRepository(session)
            await repository.delete(await repository.get(proxy_id, lock=True))
        await self._tell()

    async def _tell(self) -> None:
        try:
            await self._directory.reload()
        except DependencyUnavailable:
            # The change is stored; the loop that reads the directory brings it.
            log.info("proxy_directory_not_read")
