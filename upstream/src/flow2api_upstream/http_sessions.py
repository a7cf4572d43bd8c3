"""Connection pools, one per proxy, the least recently used given up when there are too many."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

from curl_cffi import Curl, CurlHttpVersion, CurlInfo, CurlOpt
from curl_cffi.requests import AsyncSession, Response

from flow2api_upstream.port import FailureClass, UpstreamFailure

on_curl_handle: ContextVar[Callable[[Curl], None] | None] = ContextVar("on_curl_handle", default=None)
"""Called with the curl handle of the next request of this context, before its options are set."""


class PooledSession(AsyncSession[Response]):
    """An AsyncSession that shows each request's curl handle to whoever asked by ``on_curl_handle``.

    The handle is needed for what AsyncSession has no argument for: pausing a download, and a connection of its own.
    """

    users = 0

    async def pop_curl(self) -> Curl:
        """Take a handle out of the pool, waiting for one if all are busy."""
        curl = await super().pop_curl()
        hook = on_curl_handle.get()
        if hook is not None:
            hook(curl)
        return curl


class SessionPool:
    """Sessions by proxy. Not for use on more than one event loop."""

    def __init__(self, *, impersonate: str, max_sessions: int, max_clients: int) -> None:
        self._impersonate = impersonate
        self._max_sessions = max_sessions
        self._max_clients = max_clients
        self._sessions: OrderedDict[str, PooledSession] = OrderedDict()
        self._is_closed = False

    @property
    def session_count(self) -> int:
        """How many pools are open."""
        return len(self._sessions)

    @asynccontextmanager
    async def session(self, proxy_url: str) -> AsyncIterator[PooledSession]:
        """The pool of a proxy (empty: none of our own), kept open while it is in use. Raises NETWORK when closed."""
        if self._is_closed:
            raise UpstreamFailure(FailureClass.NETWORK, "The connection pool is closed.", reason="pool_closed")
        session = self._sessions.get(proxy_url)
        if session is None:
            session = self._sessions[proxy_url] = self._open(proxy_url)
        self._sessions.move_to_end(proxy_url)
        session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            await self._close_surplus()

    async def aclose(self) -> None:
        """Close every pool; requests still running fail."""
        self._is_closed = True
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    def _open(self, proxy_url: str) -> PooledSession:
        return PooledSession(
            max_clients=self._max_clients,
            proxy=proxy_url or None,
            impersonate=self._impersonate or None,
            allow_redirects=False,
            # Accounts share a pool, so no cookie of an answer may reach the next request.
            discard_cookies=True,
            # Impersonation asks for HTTP/2 everywhere, which on clear text is an upgrade that no browser sends.
            curl_options={CurlOpt.HTTP_VERSION: CurlHttpVersion.V2TLS},
            curl_infos=[CurlInfo.APPCONNECT_TIME_T],
        )

    async def _close_surplus(self) -> None:
        idle = [proxy_url for proxy_url, session in self._sessions.items() if session.users == 0]
        for proxy_url in idle[: max(0, len(self._sessions) - self._max_sessions)]:
            await self._sessions.pop(proxy_url).close()
