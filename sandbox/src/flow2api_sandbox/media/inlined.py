"""Answers with files inside, as base64, sent without ever being whole in memory."""

import base64
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pydantic_core
from starlette.responses import Response, StreamingResponse

from flow2api_sandbox.media.served import SentFile
from flow2api_sandbox.wire import JSON_HEADERS

_SMALL_BYTES = 1024 * 1024


class InlinedFiles:
    """The files of one answer: `place` gives what stands for a file in the body until it is sent."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._files: list[SentFile] = []

    def place(self, file: SentFile) -> str:
        """The text to put where the file's base64 shall be."""
        self._files.append(file)
        return self._mark

    def response(self, body: Any) -> Response:
        """The answer with the files in the order in which they were placed; large ones are streamed."""
        pieces = self._pieces(pydantic_core.to_json(body))
        if sum(file.size_bytes for file in self._files) <= _SMALL_BYTES:
            return Response(b"".join(pieces), headers=JSON_HEADERS)

        async def stream() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return StreamingResponse(stream(), headers=JSON_HEADERS)

    def _pieces(self, body: bytes) -> Iterator[bytes]:
        first, *others = body.split(self._mark.encode())
        yield first
        for file, text in zip(self._files, others, strict=True):
            yield from _base64_pieces(file)
            yield text


def _base64_pieces(file: SentFile) -> Iterator[bytes]:
    rest = b""
    for piece in file.pieces(0, file.size_bytes):
        whole = rest + piece
        end = len(whole) - len(whole) % 3
        rest = whole[end:]
        yield base64.b64encode(whole[:end])
    yield base64.b64encode(rest)
