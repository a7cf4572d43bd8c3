"""Cutting and holding connections, which ASGI alone cannot do.

``SandboxProtocol`` puts the transport of each request into the ASGI scope's extensions; the functions here use it.
Without it (an in-process ASGI client) a cut is a ``ConnectionResetError``.
"""

import asyncio
import re
import socket
import struct
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flow2api_sandbox.world import World

_EXTENSION = "flow2api.sandbox.connection"
_H2C = b": h2c\r\n"
_H2C_OFFER = re.compile(rb"\r\nupgrade: h2c(?=\r\n)", re.IGNORECASE)
_LINGER_RESET = struct.pack("ii", 1, 0)


class SandboxProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with the transport in reach of the application."""

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client, deaf to an offer to speak HTTP/2.

        curl (and curl-cffi) makes that offer on every plain-text request, and httptools would then drop the body.
        """
        super().data_received(_without_h2c_offer(data) if _H2C in data else data)

    def on_message_begin(self) -> None:
        """Note the transport in the scope of the request that begins."""
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"transport": self.transport}}


async def cut_connection(scope: Scope, receive: Receive) -> None:
    """Reset the connection now; returns when the server has noticed."""
    transport = _transport(scope)
    if transport is None:
        raise ConnectionResetError("fault: connection cut")
    sock = cast("socket.socket | None", transport.get_extra_info("socket"))
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
    transport.abort()
    await _until_disconnected(receive)


async def hold_connection(world: World, scope: Scope, receive: Receive) -> None:
    """Answer nothing until the client leaves or the sandbox stops."""
    transport = _transport(scope)
    if transport is None:
        await _until_disconnected(receive)
        return
    with world.hold(transport):
        await _until_disconnected(receive)


class CutResponse(Response):
    """An answer that is no answer: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Cut."""
        await cut_connection(scope, receive)


class HeldResponse(Response):
    """An answer that never comes."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        """Wait."""
        await hold_connection(self._world, scope, receive)


def _without_h2c_offer(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return _H2C_OFFER.sub(b"", head + end[:2]) + end[2:] + body


def _transport(scope: Scope) -> asyncio.Transport | None:
    extension = scope.get("extensions", {}).get(_EXTENSION)
    return cast("asyncio.Transport", extension["transport"]) if extension else None


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
