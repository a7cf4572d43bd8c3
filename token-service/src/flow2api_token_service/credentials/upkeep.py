"""What the background does for credentials: renews bearers before they end, and looks at tokens that were set aside."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError, UpstreamUnavailable
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.proof import cause_of_look, look_at, store_look
from flow2api_token_service.credentials.refresh import Refresher
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.events import PAUSE_OVER, TIME, Cause
from flow2api_token_service.health.rows import health_of, store_health
from flow2api_token_service.health.states import StateReason, TokenState, after_probe, settled
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.projects.ensure import ProjectKeeper
from flow2api_token_service.proxies.router import NoProxy, ProxyRouter
from flow2api_token_service.settings import PoolSettings
from flow2api_token_service.tokens.changes import TokenChanges
from flow2api_token_service.tokens.models import TokenRow
from flow2api_token_service.tokens.repository import TokenRepository
from flow2api_upstream.port import FailureClass
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_BATCH = 500
# Reading credits is never urgent: at most so many per round and process.
_CREDITS_BATCH = 50
_LOCK_LIFETIME = timedelta(seconds=10)
_ACTOR = "probe"


class CredentialUpkeep:
    """One round at a time; `run_round` is called again and again by the service's background loop."""

    def __init__(
        self,
        *,
        database: Database,
        store: CredentialStore,
        refresher: Refresher,
        router: ProxyRouter,
        changes: TokenChanges,
        registry: ProviderRegistry,
        locks: RedisLocks,
        projects: ProjectKeeper,
        settings: PoolSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._store = store
        self._refresher = refresher
        self._router = router
        self._changes = changes
        self._registry = registry
        self._locks = locks
        self._credits_interval = settings.credits_interval
        self._credits_refresh_interval = settings.credits_refresh_interval
        self._projects = projects
        self._projects_per_token = settings.projects_per_token
        self._with_projects = [name for name in registry.names if registry.get(name).capabilities.has_projects]
        self._with_credits = [name for name in registry.names if registry.get(name).capabilities.has_credits]
        self._slots = asyncio.Semaphore(settings.refresh_concurrency)
        self._clock = clock

    async def run_round(self) -> None:
        """Renew what is due and look at what waits for a look. One token's trouble never stops the others."""
        now = self._clock()
        async with self._database.transaction(read_only=True) as session:
            tokens = TokenRepository(session)
            due = await tokens.versions_to_refresh(now=now, limit=_BATCH)
            waiting = await tokens.ids_to_probe(now=now, credits_read_before=now - self._credits_interval, limit=_BATCH)
            rested = await tokens.ids_of_ended_pauses(now=now, limit=_BATCH)
            unfilled = await tokens.ids_without_projects(
                providers=self._with_projects, wanted=self._projects_per_token, limit=_BATCH
            )
            unread = await tokens.ids_of_old_credits(
                providers=self._with_credits, read_before=now - self._credits_refresh_interval, limit=_CREDITS_BATCH
            )
        for token_id in rested:
            await self._guarded(token_id, self._end_pause)
        async with asyncio.TaskGroup() as group:
            for token_id in _shuffled([*due]):
                renew = partial(self._renew, version=due[token_id])
                group.create_task(self._guarded(token_id, renew), name=f"renew-{token_id}")
            for token_id in _shuffled(unfilled):
                group.create_task(self._guarded(token_id, self._projects.fill), name=f"fill-{token_id}")
            for token_id in _shuffled({*waiting, *unread}):
                group.create_task(self._guarded(token_id, self.look), name=f"look-{token_id}")

    async def look(self, token_id: int) -> None:
        """Look at one token upstream, and let what is seen bring it back, or set it aside for longer.

        Nothing happens when another replica looks at it, or has done so meanwhile.
        """
        async with self._locks.try_hold(f"look:{token_id}", _LOCK_LIFETIME, keep_alive=True) as is_mine:
            if not is_mine:
                return
            async with self._database.transaction(read_only=True) as session:
                row = await TokenRepository(session).get(token_id)
            if self._waits_for_look(row):
                await self._look(row)

    def _waits_for_look(self, row: TokenRow) -> bool:
        now = self._clock()
        if row.state == TokenState.SUSPECT:
            return row.state_until is not None and row.state_until <= now
        interval = self._credits_interval if row.state == TokenState.PARKED else self._credits_refresh_interval
        return row.credits_read_at is None or row.credits_read_at < now - interval

    async def _look(self, row: TokenRow) -> None:
        token_id = row.id
        if row.state_reason == StateReason.AUTH_REJECTED or self._store.open(row).is_due(self._clock()):
            await self._look_by_refresh(row)
            return
        credential = self._store.open(row)
        provider = self._registry.get(row.provider)
        look = await look_at(provider, credential, self._router)
        if (
            look.failure is not None
            and look.failure.failure_class is FailureClass.AUTH
            and provider.capabilities.refreshes
        ):
            await self._look_by_refresh(row)
            return
        if (
            look.failure is not None
            and look.failure.failure_class is FailureClass.PROXY
            and not credential.own_proxy_url
        ):
            # The proxies have failed and nothing was seen of the token: the next round looks again.
            log.info("token_not_looked_at", token_id=token_id, upstream_reason=look.failure.reason)
            return

        def change(row: TokenRow, now: datetime) -> None:
            store_look(row, look, provider=provider, now=now)
            _store_probe(row, passed=look.failure is None, now=now)

        cause = cause_of_look(_ACTOR, look)
        await self._changes.change(token_id, change, cause=cause, credits_are_fresh=look.seen is not None)
        log.info("token_looked_at", token_id=token_id, passed=look.failure is None)

    async def _look_by_refresh(self, row: TokenRow) -> None:
        try:
            await self._refresher.refresh(row.id, newer_than=row.credential_version)
        except NoProxy:
            raise
        except UpstreamUnavailable:
            cause = Cause(actor=_ACTOR, cause="unavailable")
            await self._changes.change(row.id, lambda row, now: _store_probe(row, passed=False, now=now), cause=cause)
        else:
            cause = Cause(actor=_ACTOR, cause="ok")
            await self._changes.change(row.id, lambda row, now: _store_probe(row, passed=True, now=now), cause=cause)

    async def _end_pause(self, token_id: int) -> None:
        """Write down that a pause is over; the token has been in use since, as nobody needs to end it."""

        def change(row: TokenRow, now: datetime) -> bool:
            health = health_of(row)
            if settled(health, now).state is health.state:
                return False
            store_health(row, settled(health, now))
            return True

        await self._changes.change(token_id, change, cause=Cause(actor=TIME, cause=PAUSE_OVER))

    async def _renew(self, token_id: int, *, version: int) -> None:
        # Not waited for where another replica has it in hand, and left alone where one has renewed it since.
        if not await self._refresher.is_flying(token_id):
            await self._refresher.refresh(token_id, newer_than=version)

    async def _guarded(self, token_id: int, work: Callable[[int], Awaitable[None]]) -> None:
        async with self._slots:
            try:
                await work(token_id)
            except Flow2APIError as error:
                # Written down where it happened; the next round tries what is still due.
                log.info("token_upkeep_failed", token_id=token_id, reason=error.reason)


def _shuffled(token_ids: Sequence[int] | set[int]) -> list[int]:
    """In any order, so that replicas that read the same list do not walk through it in step."""
    return random.sample(list(token_ids), len(token_ids))


def _store_probe(row: TokenRow, *, passed: bool, now: datetime) -> None:
    if row.state == TokenState.SUSPECT:
        store_health(row, after_probe(health_of(row), passed=passed, now=now))
