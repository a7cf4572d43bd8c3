"""Heads of requests: of a bounded size, and refused in our own words when they cannot be read."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Final

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from flow2api_common.errors import InvalidArgument, RequestError
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_common.request_context import REQUEST_ID_HEADER
from flow2api_gateway.errors.openai_errors import render_openai_error

MAX_HEAD_BYTES: Final = 64 << 10
_LINGER_SECONDS: Final = 2.0
log = get_logger(__name__)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which holds no more of a head, of trailers or of the extensions of chunks than
    `MAX_HEAD_BYTES` and the piece that has just come."""

    max_head_bytes: ClassVar[int] = MAX_HEAD_BYTES

    _is_in_head = False
    # What has come since the last whole head or piece of a body.
    _bare_bytes = 0
    _linger: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._linger is not None:
            return
        self._bare_bytes += len(data)
        super().data_received(data)
        if self._bare_bytes > self.max_head_bytes and not self.transport.is_closing():
            message = f"The head of the request is larger than {self.max_head_bytes} bytes."
            self._refuse(RequestError(message, reason="HEAD_TOO_LARGE"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, and would become headers of a request that was judged without them.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._bare_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bare_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bare_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(InvalidArgument(msg, reason="INVALID_REQUEST"))

    def _refuse(self, error: RequestError) -> None:
        """Answer, unless another answer has begun, and close once the client has had the time to read it."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started:
                self.transport.close()
                return
            cycle.disconnected = True
            cycle.message_event.set()
        request_id = new_id("req")
        rendered = render_openai_error(error)
        log.info("request_head_refused", request_id=request_id, reason=error.reason, status=rendered.status)
        self.transport.write(_written(rendered.status, orjson.dumps(rendered.body), request_id))
        # Closing at once would reset the connection of a client that is still sending, and lose the answer.
        self.transport.write_eof()
        self._linger = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)


def _written(status: int, body: bytes, request_id: str) -> bytes:
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        REQUEST_ID_HEADER: request_id,
        "openai-processing-ms": "0",
        "x-content-type-options": "nosniff",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"%b%b\r\n%b" % (STATUS_LINE[status], lines.encode("ascii"), body)
