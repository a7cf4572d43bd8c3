"""Proxy servers of the tests: HTTP (CONNECT, and absolute-form for clear text) and SOCKS5, with and without a login."""

from __future__ import annotations

import asyncio
import base64
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import quote, urlsplit

import pytest_asyncio

ProxyScheme = Literal["http", "socks5", "socks5h"]
StartProxy = Callable[..., Awaitable["ProxyServer"]]

_CHUNK = 65_536
_MAX_HEAD = 65_536


class ProxyServer:
    """One proxy on loopback. It keeps its port over `stop` and `start`, as a machine that is rebooted does.

    ``targets`` counts what it was asked to reach, as ``host:port``; ``refused_logins`` the callers with a wrong login.
    While ``hangs`` is set it accepts connections and says nothing.
    """

    def __init__(self, scheme: ProxyScheme = "http", *, user: str = "", password: str = "") -> None:
        self.scheme = scheme
        self.user = user
        self.password = password
        self.port = 0
        self.targets: Counter[str] = Counter()
        self.refused_logins = 0
        self.hangs = False
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Its address, with its login."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        return f"{self.scheme}://{login}127.0.0.1:{self.port}"

    @property
    def call_count(self) -> int:
        """How many connections or requests it has passed on."""
        return self.targets.total()

    async def start(self) -> None:
        """Listen; at the second time, at the same port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listener, limit=_MAX_HEAD)

    async def stop(self) -> None:
        """Break every connection and listen no more. Safe to repeat."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for call in list(self._calls):
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        self._calls.add(call)
        try:
            if self.hangs:
                await asyncio.Event().wait()
            await (self._http(reader, writer) if self.scheme == "http" else self._socks5(reader, writer))
        except (OSError, EOFError, ValueError):
            pass  # One of the two sides has gone away.
        except asyncio.CancelledError:
            # `stop` broke the call off; a task of asyncio's server must not end as cancelled.
            writer.transport.abort()
        finally:
            self._calls.discard(call)
            writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not self._is_login(headers.get("proxy-authorization", "")):
            self.refused_logins += 1
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=x\r\n")
            writer.write(b"content-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            return
        method, target, version = request_line.split(" ")
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host, port = parts.hostname or "", parts.port or 80
        self.targets[f"{host}:{port}"] += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = target.split(parts.netloc, 1)[1] or "/"
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            far_writer.write("\r\n".join([f"{method} {path} {version}", *kept, "Connection: close", "", ""]).encode())
        await _pass_on(reader, writer, far_reader, far_writer)

    def _is_login(self, header: str) -> bool:
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        return not self.user or header == f"Basic {expected}"

    async def _socks5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 1928, CONNECT only, and the login of RFC 1929."""
        _, method_count = await reader.readexactly(2)
        methods = await reader.readexactly(method_count)
        wanted = 2 if self.user else 0
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods or (self.user and not await self._socks5_login(reader, writer)):
            self.refused_logins += 1
            await writer.drain()
            return
        _, _, _, address_type = await reader.readexactly(4)
        if address_type == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode()
        else:
            family = socket.AF_INET if address_type == 1 else socket.AF_INET6
            host = socket.inet_ntop(family, await reader.readexactly(4 if address_type == 1 else 16))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.targets[f"{host}:{port}"] += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(bytes([5, 5, 0, 1]) + bytes(6))
            await writer.drain()
            return
        writer.write(bytes([5, 0, 0, 1]) + bytes(6))
        await _pass_on(reader, writer, far_reader, far_writer)

    async def _socks5_login(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, length = await reader.readexactly(2)
        user = (await reader.readexactly(length)).decode()
        (length,) = await reader.readexactly(1)
        password = (await reader.readexactly(length)).decode()
        is_right = (user, password) == (self.user, self.password)
        writer.write(bytes([1, 0 if is_right else 1]))
        return is_right


@pytest_asyncio.fixture
async def start_proxy() -> AsyncIterator[StartProxy]:
    """Starts proxies of this test alone: ``await start_proxy("socks5", user="u", password="p")``."""
    started: list[ProxyServer] = []

    async def start(scheme: ProxyScheme = "http", *, user: str = "", password: str = "") -> ProxyServer:
        proxy = ProxyServer(scheme, user=user, password=password)
        await proxy.start()
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        await proxy.stop()


class ProxyThread:
    """Proxies in a thread with an event loop of its own, for tests that have none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._started: list[ProxyServer] = []

    def start(self, scheme: ProxyScheme = "http", *, user: str = "", password: str = "") -> ProxyServer:
        """A new proxy that listens."""
        proxy = ProxyServer(scheme, user=user, password=password)
        self._started.append(proxy)
        self.restart(proxy)
        return proxy

    def restart(self, proxy: ProxyServer) -> None:
        """Have one listen (again)."""
        self._wait(asyncio.run_coroutine_threadsafe(proxy.start(), self._loop))

    def stop(self, proxy: ProxyServer) -> None:
        """Have one listen no more."""
        self._wait(asyncio.run_coroutine_threadsafe(proxy.stop(), self._loop))

    def stop_all(self) -> None:
        """Have none listen any more."""
        for proxy in self._started:
            self.stop(proxy)

    def _wait(self, done: Future[None]) -> None:
        done.result(timeout=10)


@contextmanager
def proxy_thread() -> Iterator[ProxyThread]:
    """A thread for proxies, ended with them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    proxies = ProxyThread(loop)
    try:
        yield proxies
    finally:
        proxies.stop_all()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _pass_on(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    directions = [
        asyncio.create_task(_copy(reader, far_writer), name="proxy-up"),
        asyncio.create_task(_copy(far_reader, writer), name="proxy-down"),
    ]
    try:
        # The far side's end is the end; the near side may be silent while it waits for the answer.
        await directions[1]
    finally:
        for direction in directions:
            direction.cancel()
        await asyncio.gather(*directions, return_exceptions=True)
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
