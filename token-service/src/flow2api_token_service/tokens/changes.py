"""The one way in which a stored token changes: SQL first, then the pool index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.health.announce import announce
from flow2api_token_service.health.events import Cause, event_of_new, events_between
from flow2api_token_service.health.rows import health_of
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import PoolEntry
from flow2api_token_service.projects.rows import work_in
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.pool_entry import entry_of
from flow2api_token_service.tokens.repository import TokenRepository

log = get_logger(__name__)

_PAGE = 500
_CLOCK_SKEW = timedelta(minutes=1)


class TokenChanges:
    """Writes tokens. SQL is the truth: what Redis has missed is written there again by `resync` and `retry`."""

    def __init__(
        self, *, database: Database, index: PoolIndex, clock: Clock, quotas_per_project: Collection[str] = ()
    ) -> None:
        """``quotas_per_project``: the providers whose tokens share quotas with those of the same project."""
        self._database = database
        self._index = index
        self._clock = clock
        self._quotas_per_project = frozenset(quotas_per_project)
        self._missed: set[int] = set()

    async def add(self, row: TokenRow, *, cause: Cause) -> TokenRow:
        """Store a new token. Raises Conflict when its secret is in the pool."""
        async with self._database.transaction() as session:
            repository = TokenRepository(session)
            row.rests = []
            if row.project_id:
                work_in(row, row.project_id, row.project_name, row.created_at)
            await repository.add(row)
            session.add(event_of_new(row.id, health_of(row), cause=cause))
        await self._publish(row, credits_are_fresh=True)
        return row

    async def change(
        self,
        token_id: int,
        change: Callable[[TokenRow, datetime], bool | None],
        *,
        cause: Cause,
        credits_are_fresh: bool = False,
        first: Callable[[AsyncSession], Awaitable[None]] | None = None,
    ) -> TokenRow:
        """Change one token under a lock, and write down what that does to its health.

        Raises NotFound, and Conflict when a new secret is in the pool.

        ``change`` is given the row and the time; when it answers False, nothing is written. ``first`` looks around in
        the same transaction before the token is locked.
        """
        async with self._database.transaction() as session:
            if first is not None:
                await first(session)
            repository = TokenRepository(session)
            row = await repository.get(token_id, lock=True)
            now = self._clock()
            project_id, health = row.project_id, health_of(row)
            if change(row, now) is False:
                return row
            row.revision += 1
            row.updated_at = now
            if row.project_id and row.project_id != project_id:
                work_in(row, row.project_id, row.project_name, now)
            await repository.flush_unique()
            session.add_all(events_between(token_id, health, health_of(row), cause=cause, now=now))
        announce(row.id, row.provider, health, health_of(row), cause=cause)
        await self._publish(row, credits_are_fresh=credits_are_fresh)
        return row

    async def sharing_quota(self, row: TokenRow) -> Sequence[int]:
        """The other tokens that share the quotas of this one."""
        if row.provider not in self._quotas_per_project or not row.project_id:
            return ()
        async with self._database.transaction(read_only=True) as session:
            return await TokenRepository(session).ids_of_project(
                row.provider, row.project_id, row.location, other_than=row.id
            )

    async def delete(self, token_id: int) -> None:
        """Remove one token. Raises NotFound."""
        async with self._database.transaction() as session:
            repository = TokenRepository(session)
            await repository.delete(await repository.get(token_id, lock=True))
        try:
            await self._index.remove([token_id])
        except DependencyUnavailable:
            self._remember(token_id)

    async def retry(self) -> None:
        """Write to Redis what it has missed. Raises DependencyUnavailable."""
        for token_id in sorted(self._missed):
            await self.republish(token_id)
            self._missed.discard(token_id)

    async def republish(self, token_id: int) -> None:
        """Write one token to Redis as SQL has it, or take it out when it is gone."""
        rows = await self._read_page(after_id=token_id - 1, limit=1)
        if rows and rows[0].id == token_id:
            await self._index.put([self._entry_of(rows[0])])
        else:
            await self._index.remove([token_id])

    async def resync(self, since: datetime) -> None:
        """Write to Redis the tokens that were changed since a time, by whomever. Raises DependencyUnavailable."""
        after_id = 0
        while True:
            async with self._database.transaction(read_only=True) as session:
                rows = await TokenRepository(session).changed_since(since - _CLOCK_SKEW, limit=_PAGE, after_id=after_id)
            await self._index.put([self._entry_of(row) for row in rows])
            if len(rows) < _PAGE:
                return
            after_id = rows[-1].id

    async def put_all(self) -> None:
        """Write every token to Redis, and take out those that SQL does not have. Raises DependencyUnavailable."""
        known_before = await self._index.token_ids()
        in_sql: set[int] = set()
        after_id = 0
        while True:
            rows = await self._read_page(after_id=after_id, limit=_PAGE)
            await self._index.put([self._entry_of(row) for row in rows])
            in_sql.update(row.id for row in rows)
            if len(rows) < _PAGE:
                break
            after_id = rows[-1].id
        # Only what was there before SQL was read: a token that was added meanwhile stays.
        await self._index.remove(sorted(known_before - in_sql))

    async def _read_page(self, *, after_id: int, limit: int) -> Sequence[TokenRow]:
        async with self._database.transaction(read_only=True) as session:
            return await TokenRepository(session).page(after_id=after_id, limit=limit, now=self._clock())

    def _entry_of(self, row: TokenRow) -> PoolEntry:
        return entry_of(row, shares_quotas=row.provider in self._quotas_per_project)

    async def _publish(self, row: TokenRow, *, credits_are_fresh: bool) -> None:
        try:
            await self._index.put([self._entry_of(row)], credits_are_fresh=credits_are_fresh)
        except DependencyUnavailable:
            self._remember(row.id)

    def _remember(self, token_id: int) -> None:
        # The change is stored and must not be reported as failed; while Redis is away nobody is given the token anyhow.
        self._missed.add(token_id)
        log.warning("pool_index_write_missed", token_id=token_id)
