"""Chooses the proxy for everything that is done in the name of a token."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

from flow2api_common.errors import UpstreamUnavailable
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.proxies.assignments import ProxyAssignments
from flow2api_token_service.proxies.directory import KnownProxy, ProxyDirectory
from flow2api_token_service.proxies.reports import ProxyReports
from flow2api_token_service.settings import ProxySettings, ProxyStrategy
from flow2api_upstream.failures import MAX_PROXY_SWITCHES
from flow2api_upstream.port import FailureClass, UpstreamFailure

T = TypeVar("T")

_RETRY_AFTER = timedelta(seconds=10)
_REMEMBERED_TOKENS = 10_000


class NoProxy(UpstreamUnavailable):
    """There are proxies, but none can be used, and going without one is not allowed."""

    default_reason = "NO_PROXY"


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach the upstream. ``proxy_id`` 0: by a token's own proxy, or by none when ``proxy_url`` is empty."""

    proxy_id: int = 0
    proxy_url: str = field(default="", repr=False)


DIRECT = Route()


class ProxyRouter:
    """The policy: a token's own proxy wins; without proxies, calls go direct; with proxies they never do by themselves.

    When proxies exist and none can be used, everything that needs one fails with NoProxy: an account whose address
    suddenly changes to the server's own is worse off than one that waits. ``proxy_allow_direct`` says otherwise.
    """

    def __init__(
        self,
        *,
        directory: ProxyDirectory,
        assignments: ProxyAssignments,
        reports: ProxyReports,
        store: CredentialStore,
        settings: ProxySettings,
    ) -> None:
        self._directory = directory
        self._assignments = assignments
        self._reports = reports
        self._store = store
        self._strategy = settings.proxy_strategy
        self._allow_direct = settings.proxy_allow_direct
        self._turn = random.randrange(1 << 16)  # noqa: S311 - keeps replicas from working in step
        self._last: OrderedDict[int, int] = OrderedDict()

    async def routed(self, credential: Credential, *, is_new_lease: bool = False) -> Credential:
        """The credential with the proxy to use. With ``rotate`` a new lease gets the next one, and what else is done
        for the token meanwhile goes over that one, too. Raises NoProxy, DependencyUnavailable."""
        route = await self._route(credential, is_new_lease=is_new_lease)
        return replace(credential, proxy_id=route.proxy_id, proxy_url=route.proxy_url)

    async def with_proxy(self, credential: Credential, call: Callable[[Credential], Awaitable[T]]) -> T:
        """Make a call for a token, over another proxy when one fails. Raises UpstreamFailure, NoProxy."""

        @asynccontextmanager
        async def choose() -> AsyncIterator[Route]:
            yield await self._route(credential)

        async def call_over(route: Route) -> T:
            return await call(replace(credential, proxy_id=route.proxy_id, proxy_url=route.proxy_url))

        return await self._switching(choose, call_over)

    async def with_new_proxy(self, own_proxy_url: str, call: Callable[[Route], Awaitable[T]]) -> T:
        """Make a call for a token that is not stored yet, and store it inside the call, so that tokens that are added
        together spread evenly. Raises UpstreamFailure, NoProxy."""

        @asynccontextmanager
        async def choose() -> AsyncIterator[Route]:
            if own_proxy_url:
                yield Route(0, own_proxy_url)
            elif not await self._needs_proxy():
                yield DIRECT
            elif self._strategy is ProxyStrategy.ROTATE:
                yield _route_over(self._next())
            else:
                async with self._assignments.reserved(self._directory.usable) as proxy:
                    yield _route_over(proxy)

        return await self._switching(choose, call)

    def kept(self, route: Route) -> int | None:
        """Which proxy a token keeps to that was added over this route."""
        return route.proxy_id or None if self._strategy is ProxyStrategy.STICKY else None

    async def _switching(
        self,
        choose: Callable[[], AbstractAsyncContextManager[Route]],
        call: Callable[[Route], Awaitable[T]],
    ) -> T:
        switches = 0
        while True:
            async with choose() as route:
                try:
                    return await call(route)
                except UpstreamFailure as failure:
                    if failure.failure_class is not FailureClass.PROXY or not route.proxy_id:
                        raise
                    await self._reports.failed(route.proxy_id, reason=failure.reason)
                    if switches == MAX_PROXY_SWITCHES:
                        raise
            switches += 1

    async def _route(self, credential: Credential, *, is_new_lease: bool = False) -> Route:
        if credential.own_proxy_url:
            return Route(0, credential.own_proxy_url)
        if not await self._needs_proxy():
            return DIRECT
        if self._strategy is ProxyStrategy.ROTATE:
            return _route_over(self._in_turn(credential.token_id, is_new_lease=is_new_lease))
        return await self._kept_route(credential)

    async def _needs_proxy(self) -> bool:
        """Whether a proxy is to be used; there is a usable one then. Raises NoProxy."""
        if self._strategy is ProxyStrategy.NONE:
            return False
        await self._directory.ensure_loaded()
        if self._directory.is_empty:
            return False
        if self._directory.usable:
            return True
        if self._allow_direct:
            return False
        raise _no_proxy()

    async def _kept_route(self, credential: Credential) -> Route:
        known = self._directory.get(credential.kept_proxy_id)
        if known is None or not (known.is_usable or known.is_doubtful):
            row = await self._assignments.assign(credential.token_id)
            current = self._store.remember(row)
            if current.own_proxy_url:
                return Route(0, current.own_proxy_url)
            known = self._directory.get(current.kept_proxy_id)
            if known is None or not known.is_usable:
                # SQL is ahead of what this replica has read.
                await self._directory.reload()
                known = self._directory.get(current.kept_proxy_id)
        usable = self._directory.usable
        if known is not None and (known.is_usable or known in usable):
            return _route_over(known)
        if usable:
            # Its proxy is only reported so far: until a check has looked, another one stands in, unwritten.
            return _route_over(usable[credential.token_id % len(usable)])
        if self._allow_direct:
            return DIRECT
        raise _no_proxy()

    def _in_turn(self, token_id: int, *, is_new_lease: bool) -> KnownProxy:
        last = self._directory.get(self._last.get(token_id, 0))
        if last is not None and last.is_usable and not is_new_lease:
            return last
        chosen = self._next()
        self._last[token_id] = chosen.proxy_id
        self._last.move_to_end(token_id)
        if len(self._last) > _REMEMBERED_TOKENS:
            self._last.popitem(last=False)
        return chosen

    def _next(self) -> KnownProxy:
        usable = self._directory.usable
        self._turn += 1
        return usable[self._turn % len(usable)]


def _route_over(proxy: KnownProxy) -> Route:
    return Route(proxy.proxy_id, proxy.url)


def _no_proxy() -> NoProxy:
    return NoProxy("None of the proxies can be used at the moment.", retry_after=_RETRY_AFTER)
