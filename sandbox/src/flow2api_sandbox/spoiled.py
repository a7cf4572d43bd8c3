"""An answer that was right, and is spoiled on its way out."""

import asyncio

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from flow2api_sandbox.connection import cut_connection
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_sandbox.world import World

_SLOW_PIECES = 8
_DEFAULT_SLOWNESS_SECONDS = 2.0


class SpoiledResponse(Response):
    """Plays another response, executed in full, with the damage of an answer fault."""

    def __init__(self, inner: Response, fault: Fault, world: World) -> None:
        super().__init__()
        self.status_code = inner.status_code
        self._inner = inner
        self._fault = fault
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect the real answer, then send what is left of it."""
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self._inner(scope, receive, collect)
        start = messages[0]
        body = b"".join(message.get("body", b"") for message in messages[1:])
        kind = self._fault.kind
        if kind is FaultKind.LOST_ANSWER:
            await cut_connection(scope, receive)
        elif kind is FaultKind.MALFORMED:
            await _send_malformed(start, body, send)
        elif kind is FaultKind.TRUNCATED:
            await send({**start, "headers": _with_length(start, len(body))})
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            await asyncio.sleep(0.05)  # Lets the first half reach the client before the reset discards it.
            await cut_connection(scope, receive)
        else:
            await self._send_late(start, body, send)

    async def _send_late(self, start: Message, body: bytes, send: Send) -> None:
        seconds = self._fault.delay or _DEFAULT_SLOWNESS_SECONDS
        if self._fault.kind is FaultKind.DELAY:
            await self._world.clock.sleep(seconds)
            await send(start)
            await send({"type": "http.response.body", "body": body})
            return
        await send({**start, "headers": _with_length(start, len(body))})
        piece = max(1, len(body) // _SLOW_PIECES)
        for offset in range(0, len(body), piece):
            await self._world.clock.sleep(seconds / _SLOW_PIECES)
            await send({"type": "http.response.body", "body": body[offset : offset + piece], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _send_malformed(start: Message, body: bytes, send: Send) -> None:
    damaged = body[: max(1, len(body) // 2)] + b"\x00<html>"
    await send({**start, "headers": _with_length(start, len(damaged))})
    await send({"type": "http.response.body", "body": damaged})


def _with_length(start: Message, length: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    return [*kept, (b"content-length", str(length).encode())]
