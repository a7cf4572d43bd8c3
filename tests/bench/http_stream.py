"""The leanest HTTP clients that can read an answer: their own cost hides little of the server's."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from load import Call

_LIMIT = 8 * 1024 * 1024
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


@asynccontextmanager
async def streamed_post(
    host: str, port: int, path: str, body: Mapping[str, object], *, bearer: str = ""
) -> AsyncIterator[Call]:
    """A call that posts ``body`` on one kept connection and reads a chunked event stream that ends with ``[DONE]``."""
    async with _kept_connection(host, port) as (reader, writer):
        request = _post(host, port, path, body, bearer)

        async def call() -> None:
            writer.write(request)
            await _accepted(reader)
            answer = await reader.readuntil(_LAST_CHUNK)
            if b"data: [DONE]" not in answer or b'"error"' in answer:
                raise RuntimeError(f"the stream ended badly: {answer[-600:].decode()}")

        yield call


@asynccontextmanager
async def plain_post(
    host: str, port: int, path: str, body: Mapping[str, object], *, bearer: str = ""
) -> AsyncIterator[Call]:
    """A call that posts ``body`` on one kept connection and reads an answer of a declared length."""
    async with _kept_connection(host, port) as (reader, writer):
        request = _post(host, port, path, body, bearer)

        async def call() -> None:
            writer.write(request)
            length = _LENGTH.search(await _accepted(reader))
            if length is None:
                raise RuntimeError("the answer tells no length")
            await reader.readexactly(int(length[1]))

        yield call


@asynccontextmanager
async def _kept_connection(host: str, port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port, limit=_LIMIT)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def _post(host: str, port: int, path: str, body: Mapping[str, object], bearer: str) -> bytes:
    payload = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {bearer}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    ).encode() + payload


async def _accepted(reader: asyncio.StreamReader) -> bytes:
    """The head of an answer. Raises RuntimeError when it is none of success."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"refused: {head.splitlines()[0].decode()} {(await reader.read(2000)).decode()}")
    return head
