"""The leanest HTTP client that can read a streamed answer: its own cost hides little of the server's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from load import Call

_LIMIT = 8 * 1024 * 1024
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@asynccontextmanager
async def streamed_post(
    host: str, port: int, path: str, body: Mapping[str, object], *, bearer: str = ""
) -> AsyncIterator[Call]:
    """A call that posts ``body`` on one kept connection and reads a chunked event stream that ends with ``[DONE]``."""
    payload = json.dumps(body).encode()
    request = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {bearer}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    ).encode() + payload
    reader, writer = await asyncio.open_connection(host, port, limit=_LIMIT)

    async def call() -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"refused: {head.splitlines()[0].decode()} {(await reader.read(2000)).decode()}")
        answer = await reader.readuntil(_LAST_CHUNK)
        if b"data: [DONE]" not in answer or b'"error"' in answer:
            raise RuntimeError(f"the stream ended badly: {answer[-600:].decode()}")

    try:
        yield call
    finally:
        writer.close()
        await writer.wait_closed()
