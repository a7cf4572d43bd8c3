"""uvicorn inside the caller's event loop, without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from flow2api_gateway.edge.draining import Drain
from flow2api_gateway.edge.patience import Patience, timed_protocol

_BACKLOG = 2048
# After the drain has ended every long answer, this is for the rest: closing, idle connections.
_LAST_SECONDS = 2


class HttpServer:
    """Serves an application on a bound socket. `stop` drains: running answers get a bounded time."""

    def __init__(self, app: ASGIApp, listener: socket.socket, drain: Drain, patience: Patience) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            http=timed_protocol(patience),
            # X-Forwarded-For is written by whoever sends it; limits per address need the real one.
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_SECONDS,
            backlog=_BACKLOG,
        )
        self._server = _QuietServer(config)
        self._listener = listener
        self._drain = drain
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to accept. Raises what makes the server fail at once."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="http-server")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn has no event for it.
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task

    async def wait(self) -> None:
        """Return never while all is well; raise what made the server fail."""
        if self._task is None:
            raise RuntimeError("the server was not started")
        await asyncio.shield(self._task)

    async def stop(self, drain_seconds: float) -> None:
        """Stop accepting, let running answers end within ``drain_seconds``, then end them."""
        if self._task is None:
            return
        self._drain.begin()
        self._server.config.timeout_graceful_shutdown = int(drain_seconds) + _LAST_SECONDS
        self._server.should_exit = True
        try:
            async with asyncio.timeout(drain_seconds):
                await asyncio.shield(self._task)
        except TimeoutError:
            self._drain.expire()
            await self._task


class _QuietServer(uvicorn.Server):
    """Signals belong to whoever runs the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to ``host:port``; port 0 takes a free one. Raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio knows it for TCP and switches Nagle's algorithm off; without it, answers whose
    # head and body are two writes wait 40 ms for a delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.setblocking(False)  # noqa: FBT003 - the only form that sockets have.
    except OSError as error:
        listener.close()
        message = f"cannot listen on {host}:{port} (FLOW2API_HOST, FLOW2API_PORT): {error.strerror}"
        raise OSError(error.errno, message) from error
    return listener
