"""Pictures in another format, made once and kept in the media store beside the picture."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flow2api_common.errors import Flow2APIError, NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore, media_key
from flow2api_gateway.media.conversion import PictureFormat, convert_picture
from flow2api_proto.generation.v1 import generation_service_pb2, generation_service_pb2_grpc, media_pb2

log = get_logger(__name__)

_MAX_PICTURE_BYTES: Final = 64 << 20
_AT_ONCE: Final = 2
"""Pictures that one gateway has unfolded in memory at the same time."""


class ConvertedPictures:
    """Makes conversions: each once at a time in this process, and few of all at the same time."""

    def __init__(
        self, *, store: MediaStore, generation: generation_service_pb2_grpc.GenerationServiceAsyncStub
    ) -> None:
        self._store = store
        self._generation = generation
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, media_id: str, wanted: PictureFormat) -> tuple[media_pb2.Media, media_pb2.Media | None]:
        """The picture, and where it is in the wanted format, if it is kept in it. Raises NotFound."""
        request = generation_service_pb2.GetMediaRequest(media_id=media_id, conversion=wanted.variant)
        with rpc_errors("generation"):
            answer = await self._generation.GetMedia(request)
        return answer.media, answer.conversion if answer.HasField("conversion") else None

    async def make(self, media_id: str, wanted: PictureFormat) -> media_pb2.Media | bytes:
        """The picture in the wanted format: where it is kept from now on, or its bytes where it could not be kept.

        Raises NotFound, also when the picture went meanwhile, and what ``convert_picture`` does.
        """
        conversion_id = hashlib.sha256(f"{media_id}:{wanted.variant}".encode()).hexdigest()[:32]
        async with self._alone(conversion_id):
            picture, kept = await self.find(media_id, wanted)
            if kept is not None and await self._is_there(kept):
                return kept
            async with self._room:
                stored = await self._store.get(picture.object_key, max_bytes=_MAX_PICTURE_BYTES)
                content = await convert_picture(stored, wanted)
            conversion = media_pb2.Media(
                media_id=conversion_id,
                object_key=media_key(conversion_id, wanted.content_type),
                content_type=wanted.content_type,
                size_bytes=len(content),
            )
            return conversion if await self._keep(media_id, wanted, conversion, content) else content

    async def _keep(self, media_id: str, wanted: PictureFormat, conversion: media_pb2.Media, content: bytes) -> bool:
        """First the bytes, then the row. What goes wrong costs the next reader another conversion, and no one more."""
        try:
            await self._store.put(conversion.object_key, content, content_type=conversion.content_type)
            request = generation_service_pb2.KeepConversionRequest(
                media_id=media_id, conversion=wanted.variant, stored=conversion
            )
            with rpc_errors("generation"):
                await self._generation.KeepConversion(request)
        except NotFound:
            await self._store.delete(conversion.object_key)
            raise
        except Flow2APIError as error:
            log.warning("conversion_not_kept", media_id=media_id, reason=error.reason)
            return False
        return True

    async def _is_there(self, kept: media_pb2.Media) -> bool:
        try:
            await self._store.size(kept.object_key)
        except Flow2APIError:
            return False
        return True

    @asynccontextmanager
    async def _alone(self, conversion_id: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(conversion_id, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(conversion_id, None)
