"""Server-sent events: one answer that grows, kept alive by comments while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flow2api_common.errors import Flow2APIError, InternalError
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_gateway.edge.draining import Departure, Drain
from flow2api_gateway.edge.presence import departure_watch, shutting_down

HEARTBEAT: Final = b": keep-alive\n\n"
DONE: Final = b"data: [DONE]\n\n"
log = get_logger(__name__)


def data_event(payload: Any, *, event: str = "", event_id: str = "") -> bytes:
    """One event with a JSON document as its data; a client that reconnects gives back the last ``event_id``."""
    head = f"event: {event}\n".encode() if event else b""
    head += f"id: {event_id}\n".encode() if event_id else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(payload))


class EventStream(Response):
    """Sends what an iterator of events gives.

    The iterator is closed when the client goes, which cancels the RPC that it reads. An error after the first byte is
    an event rendered by ``render_error``, then the stream closes. ``heartbeat_bytes``, a comment
    unless the protocol needs something else, are sent after every quiet ``heartbeat``. One that ``can_be_resumed``
    just ends as soon as the gateway begins to: its client goes on elsewhere after the last event that it has seen.
    """

    def __init__(
        self,
        events: AsyncIterator[bytes],
        *,
        drain: Drain,
        heartbeat: timedelta,
        render_error: Callable[[Flow2APIError], bytes],
        headers: Mapping[str, str] | None = None,
        heartbeat_bytes: bytes = HEARTBEAT,
        media_type: str = "text/event-stream",
        can_be_resumed: bool = False,
    ) -> None:
        super().__init__(
            headers={"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})},
            media_type=media_type,
        )
        del self.headers["content-length"]
        self._events = events
        self._drain = drain
        self._heartbeat_seconds = heartbeat.total_seconds()
        self._render_error = render_error
        self._heartbeat_bytes = heartbeat_bytes
        self._can_be_resumed = can_be_resumed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature.
        """Answer the request; returns when the stream is over or its client gone."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with departure_watch(receive, self._drain, can_be_resumed=self._can_be_resumed) as departure:
            try:
                await self._send_all(send, departure)
            except Flow2APIError as error:
                await _send_chunk(send, self._render_error(error))
            except Exception:
                log.exception("event_stream_failed")
                await _send_chunk(send, self._render_error(InternalError("The stream failed.")))
        if not departure.done() or departure.cancelled() or departure.result() is not Departure.CLIENT_GONE:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send, departure: asyncio.Future[Departure]) -> None:
        following: asyncio.Task[bytes] | None = None
        try:
            while True:
                if following is None:
                    following = asyncio.create_task(_next_event(self._events), name="next-event")
                awaited: set[asyncio.Future[Any]] = {following, departure}
                await asyncio.wait(awaited, timeout=self._heartbeat_seconds, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    event, following = following.result(), None
                    if not event:
                        return
                    await _send_chunk(send, event)
                elif departure.done():
                    if departure.result() is Departure.SHUTTING_DOWN and not self._can_be_resumed:
                        raise shutting_down()
                    return
                else:
                    await _send_chunk(send, self._heartbeat_bytes)
        finally:
            if following is not None:
                await end_tasks([following])
            close = getattr(self._events, "aclose", None)
            if close is not None:
                await close()


async def _next_event(events: AsyncIterator[bytes]) -> bytes:
    """The next event; empty at the end (a task cannot raise StopAsyncIteration usefully)."""
    return await anext(events, b"")


async def _send_chunk(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})
