"""Looks at proxies: in the background when they are due, and now when somebody asks."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_token_service.leases.redis_lock import RedisLocks
from flow2api_token_service.proxies.changes import ProxyChanges
from flow2api_token_service.proxies.directory import ProxyDirectory
from flow2api_token_service.proxies.models import ProxyRow, proxy_health_of, store_proxy_health
from flow2api_token_service.proxies.repository import ProxyRepository
from flow2api_token_service.proxies.states import Pauses, after_check
from flow2api_token_service.secrets.vault import PROXY, Vault
from flow2api_token_service.settings import ProxySettings
from flow2api_upstream.http import HttpClient, HttpRequest
from flow2api_upstream.port import UpstreamFailure

log = get_logger(__name__)

CHECK_INTERVAL = timedelta(seconds=1)
"""How often the background looks which checks are due."""

_BATCH = 200
_LOCK_MARGIN = timedelta(seconds=15)
_LONGEST_PAUSE_WITHOUT_ANY = timedelta(minutes=1)
_JITTER = 0.1
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a look has shown; ``failure`` None: it let us through."""

    failure: str | None
    latency: timedelta


class ProxyProbe:
    """Asks the check's URL over a proxy, on a connection of its own."""

    def __init__(self, *, client: HttpClient, url: str, timeout: timedelta) -> None:
        self._client = client
        self._url = url
        self._timeout = timeout

    async def look(self, proxy_url: str) -> CheckResult:
        """Any answer that came from behind the proxy will do. Never raises what the proxy does."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        request = HttpRequest("GET", self._url, timeout=self._timeout, proxy_url=proxy_url, repeatable=False)
        try:
            answer = await self._client.send(request)
        except UpstreamFailure as failure:
            return CheckResult(failure.reason or failure.failure_class, timedelta(seconds=loop.time() - started))
        latency = timedelta(seconds=loop.time() - started)
        # Of clear text, a proxy that does not reach the other side says so with an answer of its own.
        if answer.status >= _SERVER_ERROR and self._url.startswith("http://"):
            return CheckResult(f"http_{answer.status}", latency)
        return CheckResult(None, latency)


class ProxyChecks:
    """One check per proxy at a time, over all replicas."""

    def __init__(
        self,
        *,
        database: Database,
        directory: ProxyDirectory,
        changes: ProxyChanges,
        probe: ProxyProbe,
        vault: Vault,
        locks: RedisLocks,
        settings: ProxySettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._directory = directory
        self._changes = changes
        self._probe = probe
        self._vault = vault
        self._locks = locks
        self._settings = settings
        self._running: dict[int, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(settings.proxy_check_concurrency)
        self._clock = clock

    async def run_round(self) -> None:
        """Begin the checks that are due, without waiting for them: one that hangs never holds up the others.

        Raises DependencyUnavailable of SQL.
        """
        async with self._database.transaction(read_only=True) as session:
            due = await ProxyRepository(session).ids_to_check(now=self._clock(), limit=_BATCH)
        for proxy_id in due:
            if proxy_id not in self._running:
                task = asyncio.create_task(self._check_if_due(proxy_id), name=f"check-proxy-{proxy_id}")
                self._running[proxy_id] = task
                task.add_done_callback(partial(self._forget, proxy_id))

    async def aclose(self) -> None:
        """End the checks."""
        await end_tasks(list(self._running.values()))

    async def check(self, proxy_id: int) -> tuple[ProxyRow, bool]:
        """Check one proxy now; tells whether it let us through. Raises NotFound, DependencyUnavailable."""
        while True:
            async with self._locks.try_hold(_lock_of(proxy_id), self._lock_lifetime()) as is_mine:
                if is_mine:
                    return await self._check(await self._read(proxy_id))
            await self._locks.wait_until_free(_lock_of(proxy_id))

    def _forget(self, proxy_id: int, _task: asyncio.Task[None]) -> None:
        del self._running[proxy_id]

    async def _check_if_due(self, proxy_id: int) -> None:
        async with self._slots:
            try:
                async with self._locks.try_hold(_lock_of(proxy_id), self._lock_lifetime()) as is_mine:
                    if not is_mine:
                        return
                    row = await self._read(proxy_id)
                    if row.enabled and row.next_check_at <= self._clock():
                        await self._check(row)
            except Flow2APIError as error:
                # Still due: the next round tries again.
                log.info("proxy_check_failed", proxy_id=proxy_id, reason=error.reason)
            except Exception:
                # The task owns the consequence: the next round tries again, and the others go on.
                log.exception("proxy_check_broke", proxy_id=proxy_id)

    async def _check(self, looked_at: ProxyRow) -> tuple[ProxyRow, bool]:
        result = await self._probe.look(self._vault.open(looked_at.sealed_url, purpose=PROXY))
        others_work = any(proxy.proxy_id != looked_at.id for proxy in self._directory.usable)
        longest = self._settings.proxy_longest_pause
        if not others_work:
            longest = min(longest, _LONGEST_PAUSE_WITHOUT_ANY)

        def change(row: ProxyRow, now: datetime) -> bool:
            if row.url_fingerprint != looked_at.url_fingerprint:
                return False  # It was given another address meanwhile.
            health = after_check(
                proxy_health_of(row),
                failure=result.failure,
                pauses=Pauses(self._settings.proxy_first_pause, longest),
                interval=self._settings.proxy_check_interval * _spread(),
                now=now,
            )
            store_proxy_health(row, health)
            if result.failure is None:
                row.latency_ms = result.latency // timedelta(milliseconds=1)
            return True

        row = await self._changes.change(looked_at.id, change)
        log.debug("proxy_checked", proxy_id=row.id, failure=result.failure)
        return row, result.failure is None

    async def _read(self, proxy_id: int) -> ProxyRow:
        async with self._database.transaction(read_only=True) as session:
            return await ProxyRepository(session).get(proxy_id)

    def _lock_lifetime(self) -> timedelta:
        return self._settings.proxy_check_timeout + _LOCK_MARGIN


def _lock_of(proxy_id: int) -> str:
    return f"proxy-check:{proxy_id}"


def _spread() -> float:
    return 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - it spreads load, it hides nothing
