"""How long a connection may keep us waiting: for the head of a request, for its body, and for taking the answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from starlette.types import Message, Receive
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from flow2api_common.errors import RequestError
from flow2api_gateway.edge.request_heads import BoundedProtocol


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds on clients. ``head``: from the connection, or the first byte, to the end of the head of a request.
    ``body_pause``: between two pieces of a body; ``body``: the whole of it. ``reading``: how long an answer may lie
    unread."""

    head: timedelta
    body_pause: timedelta
    body: timedelta
    reading: timedelta


class TimedProtocol(BoundedProtocol):
    """uvicorn's protocol, which cuts connections whose head does not come, or whose answer is not taken."""

    patience: ClassVar[Patience]

    _is_read = True
    _head_timer: asyncio.TimerHandle | None = None
    _reading_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle: RequestResponseCycle | None = self.cycle
        is_idle = cycle is None or cycle.response_complete
        if is_idle and self._head_timer is None and self.timeout_keep_alive_task is None:
            # Empty lines before a request: they end the wait for one and begin none.
            self._await_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_read = False
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_read = True
        self._stop_head_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer that did not wait for the body of its request: what is left of it may come for a while."""
        super().on_response_complete()
        if not self._is_read and self._head_timer is None:
            self._await_head()

    def pause_writing(self) -> None:
        """The client does not take what we send."""
        super().pause_writing()
        if self._reading_timer is None:
            self._reading_timer = self.loop.call_later(self.patience.reading.total_seconds(), self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reading_timer()
        super().resume_writing()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.patience.head.total_seconds(), self.transport.abort)


def timed_protocol(patience: Patience) -> type[TimedProtocol]:
    """The protocol with these bounds; uvicorn makes one of it for each connection."""
    return type("TimedProtocol", (TimedProtocol,), {"patience": patience})


def timed_receive(receive: Receive, patience: Patience) -> Receive:
    """The same messages; a body that comes too slowly raises RequestError REQUEST_TIMEOUT."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience.body.total_seconds()
    pause_seconds = patience.body_pause.total_seconds()
    is_read = False

    async def receive_in_time() -> Message:
        nonlocal is_read
        if is_read:
            return await receive()
        try:
            async with asyncio.timeout_at(min(until, loop.time() + pause_seconds)):
                message = await receive()
        except TimeoutError as exc:
            raise RequestError("The body of the request did not come in time.", reason="REQUEST_TIMEOUT") from exc
        is_read = not message.get("more_body", False)
        return message

    return receive_in_time
