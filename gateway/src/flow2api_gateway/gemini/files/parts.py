"""Pieces of uploads that come in several requests, kept in the media store until the last one has come.

The google-genai SDK sends 8 MiB at a time. Source: docs/upstream/google-official.md, section 9.
"""

from __future__ import annotations

import time
from typing import Final

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.media_store import MediaStore
from flow2api_gateway.gemini.files.tickets import LIFETIME

_CONTENT_TYPE: Final = "application/octet-stream"


class UploadParts:
    """Pieces by the offset at which they begin. Any replica may take any piece.

    Those of an upload that is given up are removed by the replica that took them, when it next takes one after the
    ticket has expired. If that one is gone, the generation service sweeps them away with media that have no row.
    """

    def __init__(self, store: MediaStore) -> None:
        self._store = store
        self._taken: dict[str, float] = {}

    async def put(self, upload_id: str, offset: int, content: bytes) -> None:
        """Keep a piece; the same one again replaces it."""
        await self._sweep()
        key = _key(upload_id, offset)
        self._taken[key] = time.monotonic() + LIFETIME.total_seconds()
        await self._store.put(key, content, content_type=_CONTENT_TYPE)

    async def join(self, upload_id: str, end: int, last: bytes) -> bytes:
        """All pieces up to ``end``, then ``last``. Raises InvalidArgument when one is missing or they overlap."""
        content = bytearray()
        while len(content) < end:
            try:
                piece = await self._store.get(_key(upload_id, len(content)), max_bytes=end - len(content))
            except (NotFound, InvalidArgument) as exc:
                raise wrong_offset() from exc
            if not piece:
                raise wrong_offset()
            content += piece
        return bytes(content + last)

    async def forget(self, upload_id: str, end: int) -> None:
        """Remove the pieces before ``end``."""
        offset = 0
        while offset < end:
            key = _key(upload_id, offset)
            try:
                size = await self._store.size(key)
            except NotFound:
                return
            await self._remove(key)
            offset += max(1, size)

    async def _sweep(self) -> None:
        now = time.monotonic()
        for key in [key for key, until in self._taken.items() if until < now]:
            await self._remove(key)

    async def _remove(self, key: str) -> None:
        await self._store.delete(key)
        self._taken.pop(key, None)


def wrong_offset() -> InvalidArgument:
    """The error of a piece that does not follow the ones before it."""
    return InvalidArgument.of("X-Goog-Upload-Offset", "The upload offset does not fit the state of the upload.")


def _key(upload_id: str, offset: int) -> str:
    return f"media/uploads/{upload_id}/{offset}"
