"""One answer on its way in: a bounded buffer between libcurl and whoever reads."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import cast

from curl_cffi import Curl, CurlInfo, CurlOpt

_WRITE_PAUSE = 0x10000001
_WRITE_ERROR = 0xFFFFFFFF
_CONTINUE = 0
_PAUSE_ABOVE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What is known before the body. ``content_length`` is None where the upstream does not tell it."""

    status: int
    content_type: str
    content_length: int | None


class Transfer:
    """Receives the body of one request.

    A *paused* transfer holds at most about 1 MiB: libcurl is told to wait until the reader has caught up, so a file of
    any size passes in constant memory. An unpaused one collects everything, up to ``max_bytes``.
    """

    def __init__(self, *, max_bytes: int, pauses: bool, own_connection: bool, options: dict[CurlOpt, int]) -> None:
        self._max_bytes = max_bytes
        self._pauses = pauses
        self._own_connection = own_connection
        self._options = options
        self._curl: Curl | None = None
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._received = 0
        self._is_paused = False
        self._changed = asyncio.Event()
        self._is_finished = False
        self.head: AnswerHead | None = None
        self.has_started = False
        self.is_too_large = False

    def attach(self, curl: Curl) -> None:
        """Take the handle of the request that is about to start."""
        self._curl = curl
        self.has_started = True
        if self._own_connection:
            # libcurl repeats a request, POST too, when a kept connection dies before the first byte of the answer.
            # On a connection of its own it never does, so a paid call goes out at most once.
            curl.setopt(CurlOpt.FRESH_CONNECT, 1)
        for option, value in self._options.items():
            curl.setopt(option, value)

    def receive(self, data: bytes) -> int:
        """libcurl's write callback. Answers how much was taken, or the word to pause or to abort."""
        if self.head is None:
            self._note_head()
        if self._received + len(data) > self._max_bytes:
            self.is_too_large = True
            self._changed.set()
            return _WRITE_ERROR
        if self._pauses and self._buffered >= _PAUSE_ABOVE_BYTES:
            self._is_paused = True
            return _WRITE_PAUSE
        self._chunks.append(data)
        self._buffered += len(data)
        self._received += len(data)
        self._changed.set()
        return len(data)

    def finish(self) -> None:
        """The request is over, for better or worse; its handle must not be touched any more."""
        self._curl = None
        self._is_finished = True
        self._changed.set()

    def take(self) -> bytes:
        """Everything buffered."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        return data

    async def wait_for_head(self) -> None:
        """Return when the first byte of the body or the end has come."""
        while self.head is None and not self._is_finished:
            self._changed.clear()
            await self._changed.wait()

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The body as it comes."""
        while True:
            if data := self.take():
                yield data
            elif self._is_finished:
                return
            else:
                self._changed.clear()
                self._resume()
                await self._changed.wait()

    def _resume(self) -> None:
        if self._is_paused and self._curl is not None:
            self._is_paused = False
            self._curl.pause(_CONTINUE)

    def _note_head(self) -> None:
        if self._curl is None:
            return
        content_type = cast("bytes | None", self._curl.getinfo(CurlInfo.CONTENT_TYPE)) or b""
        length = cast("int", self._curl.getinfo(CurlInfo.CONTENT_LENGTH_DOWNLOAD_T))
        self.head = AnswerHead(
            status=cast("int", self._curl.getinfo(CurlInfo.RESPONSE_CODE)),
            content_type=content_type.decode("latin-1"),
            content_length=length if length >= 0 else None,
        )
