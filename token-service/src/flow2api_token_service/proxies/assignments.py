"""Which token keeps to which proxy: stored with the token, spread evenly, changed only when it has to."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_token_service.health.events import Cause
from flow2api_token_service.proxies.directory import KnownProxy
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow

log = get_logger(__name__)

_CAUSE = Cause(actor="proxies", cause="assign")


class ProxyAssignments:
    """Writes assignments. A proxy that is set aside loses its tokens for good: they move once, not twice."""

    def __init__(self, *, database: Database, changes: TokenChanges) -> None:
        self._database = database
        self._changes = changes
        # Tokens that are being added and are not stored yet.
        self._reserved: Counter[int] = Counter()
        self._ended_count = 0

    async def assign(self, token_id: int) -> TokenRow:
        """The token, on a proxy that works: the one that it keeps to, else the one with the fewest tokens.

        Without any that works the token stays as it is. Raises NotFound, DependencyUnavailable.
        """
        usable: Sequence[int] = ()
        fewest: int | None = None

        async def choose(session: AsyncSession) -> None:
            # The proxies stay locked until the token is written: whoever chooses next counts it.
            nonlocal usable, fewest
            repository = ProxyRepository(session)
            usable = await repository.lock_usable()
            if usable:
                fewest = self._least(usable, Counter(await repository.token_counts()))

        def change(row: TokenRow, now: datetime) -> bool:
            del now
            if fewest is None or row.sealed_proxy_url is not None or row.proxy_id in usable:
                return False
            row.proxy_id = fewest
            return True

        row = await self._changes.change(token_id, change, cause=_CAUSE, first=choose)
        log.info("proxy_assigned", token_id=token_id, proxy_id=row.proxy_id)
        return row

    @asynccontextmanager
    async def reserved(self, usable: Sequence[KnownProxy]) -> AsyncIterator[KnownProxy]:
        """The proxy for a token that is being added, counted inside the block. ``usable`` must not be empty."""
        while True:
            ended_count = self._ended_count
            async with self._database.transaction(read_only=True) as session:
                counts = Counter(await ProxyRepository(session).token_counts())
            if ended_count == self._ended_count:
                break
            # A token that was stored meanwhile is neither among those read nor among the reserved ones any more.
        proxy_id = self._least([proxy.proxy_id for proxy in usable], counts)
        self._reserved[proxy_id] += 1
        try:
            yield next(proxy for proxy in usable if proxy.proxy_id == proxy_id)
        finally:
            self._reserved[proxy_id] -= 1
            self._ended_count += 1

    def _least(self, usable: Sequence[int], counts: Counter[int]) -> int:
        return min(usable, key=lambda proxy_id: (counts[proxy_id] + self._reserved[proxy_id], proxy_id))
