"""Brings a finished clip from the upstream into the media store, in constant memory, checked on its way and after."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Final

from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import get_logger
from flow2api_common.media_store import MediaStore, media_key
from flow2api_poller_service.look import Look
from flow2api_poller_service.mp4 import ClipInspector, NotAClip
from flow2api_poller_service.pool import TokenPool
from flow2api_poller_service.stills.studio import StillStudio
from flow2api_poller_service.stills.wire import Playability, Still, Stills
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import Account, MediaHandle, MediaStream, Provider, UpstreamFailure

log = get_logger(__name__)

CONTENT_TYPE: Final = "video/mp4"
THUMBNAIL_TYPE: Final = "image/webp"
SPRITESHEET_TYPE: Final = "image/jpeg"
"""What OpenAI's clients are promised (docs/upstream/openai.md, "Content")."""


class ClipStore:
    """Stores clips. The id of a file is that of its job and stage: a repeat writes the same file again."""

    def __init__(self, *, store: MediaStore, pool: TokenPool, studio: StillStudio, max_bytes: int) -> None:
        self._store = store
        self._pool = pool
        self._studio = studio
        self._max_bytes = max_bytes

    async def store(self, provider: Provider, look: Look, media: MediaHandle) -> video_events_pb2.VideoStored:
        """Fetch the clip and store it.

        Raises UpstreamFailure and NotAClip (worth repeating), InvalidArgument when it is too large,
        DependencyUnavailable of the store, and what the pool raises. Nothing is visible in the store unless the clip is
        whole.
        """
        account = await self._pool.credential(look.token_id)
        try:
            return await self._transfer(provider, look, media, account)
        except UpstreamFailure as failure:
            other = await self._pool.after_failure(account, failure)
            if other is None:
                raise
        return await self._transfer(provider, look, media, other)

    async def _transfer(
        self, provider: Provider, look: Look, media: MediaHandle, account: Account
    ) -> video_events_pb2.VideoStored:
        media_id = media_id_of(look.message)
        key = media_key(media_id, CONTENT_TYPE)
        inspector, digest = ClipInspector(), hashlib.sha256()
        async with provider.fetch_video(account, media) as stream:
            size_bytes = await self._store.put_stream(
                key,
                self._checked(stream, inspector, digest.update),
                content_type=CONTENT_TYPE,
                max_bytes=self._max_bytes,
            )
        facts = inspector.finish()
        stills = await self._look_at(key, size_bytes)
        return video_events_pb2.VideoStored(
            media_id=media_id,
            object_key=key,
            content_type=CONTENT_TYPE,
            size_bytes=size_bytes,
            width=facts.width,
            height=facts.height,
            duration_ms=facts.duration_ms,
            result_handle=media,
            sha256=digest.digest(),
            thumbnail=await self._store_still(look.message, "thumbnail", stills.thumbnail, THUMBNAIL_TYPE),
            spritesheet=await self._store_still(look.message, "spritesheet", stills.spritesheet, SPRITESHEET_TYPE),
        )

    async def _look_at(self, key: str, size_bytes: int) -> Stills:
        """Whether the store has the clip as it came, and what can be seen in it. A clip that cannot be shown goes."""
        stored_bytes = await self._store.size(key)
        if stored_bytes == size_bytes:
            stills = await self._studio.stills_of(key, size_bytes=size_bytes)
            if stills.playability is not Playability.BROKEN:
                return stills
        await self._store.delete(key)
        if stored_bytes != size_bytes:
            raise NotAClip(f"The stored clip has {stored_bytes} bytes instead of {size_bytes}.")
        raise NotAClip("The clip cannot be played.")

    async def _store_still(
        self, message: video_events_pb2.PollVideo, variant: str, still: Still | None, content_type: str
    ) -> video_events_pb2.StoredStill | None:
        """Store a picture of the clip. Its failure is not the clip's."""
        if still is None:
            return None
        media_id = media_id_of(message, variant)
        key = media_key(media_id, content_type)
        try:
            await self._store.put(key, still.data, content_type=content_type)
        except Flow2APIError as error:
            log.warning("still_not_stored", variant=variant, reason=error.reason)
            return None
        return video_events_pb2.StoredStill(
            media_id=media_id,
            object_key=key,
            content_type=content_type,
            size_bytes=len(still.data),
            width=still.width,
            height=still.height,
        )

    async def _checked(
        self, stream: MediaStream, inspector: ClipInspector, hear: Callable[[bytes], object]
    ) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in stream.chunks:
            size_bytes += len(chunk)
            inspector.feed(chunk)
            hear(chunk)
            yield chunk
        if stream.content_length is not None and stream.content_length != size_bytes:
            raise NotAClip(f"The clip has {size_bytes} bytes instead of {stream.content_length}.")
        # Before the last chunk is taken for the end: what fails here leaves nothing in the store.
        inspector.finish()


def media_id_of(message: video_events_pb2.PollVideo, variant: str = "") -> str:
    """Where the clip of this stage of this job is stored, or a picture of it, always the same."""
    name = f"{message.video_id}:{message.stage}" + (f":{variant}" if variant else "")
    return hashlib.sha256(name.encode()).hexdigest()[:32]
