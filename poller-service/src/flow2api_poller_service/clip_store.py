"""Brings a finished clip from the upstream into the media store, in constant memory, checked on its way."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Final

from flow2api_common.media_store import MediaStore, media_key
from flow2api_poller_service.look import Look
from flow2api_poller_service.mp4 import ClipInspector, NotAClip
from flow2api_poller_service.pool import TokenPool
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import Account, MediaHandle, MediaStream, Provider, UpstreamFailure

CONTENT_TYPE: Final = "video/mp4"


class ClipStore:
    """Stores clips. The id of a file is that of its job and stage: a repeat writes the same file again."""

    def __init__(self, *, store: MediaStore, pool: TokenPool, max_bytes: int) -> None:
        self._store = store
        self._pool = pool
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
        inspector = ClipInspector()
        async with provider.fetch_video(account, media) as stream:
            size_bytes = await self._store.put_stream(
                key,
                self._checked(stream, inspector),
                content_type=CONTENT_TYPE,
                max_bytes=self._max_bytes,
            )
        facts = inspector.finish()
        return video_events_pb2.VideoStored(
            media_id=media_id,
            object_key=key,
            content_type=CONTENT_TYPE,
            size_bytes=size_bytes,
            width=facts.width,
            height=facts.height,
            duration_ms=facts.duration_ms,
            result_handle=media,
        )

    async def _checked(self, stream: MediaStream, inspector: ClipInspector) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in stream.chunks:
            size_bytes += len(chunk)
            inspector.feed(chunk)
            yield chunk
        if stream.content_length is not None and stream.content_length != size_bytes:
            raise NotAClip(f"The clip has {size_bytes} bytes instead of {stream.content_length}.")
        # Before the last chunk is taken for the end: what fails here leaves nothing in the store.
        inspector.finish()


def media_id_of(message: video_events_pb2.PollVideo) -> str:
    """Where the clip of this stage of this job is stored, always the same."""
    return hashlib.sha256(f"{message.video_id}:{message.stage}".encode()).hexdigest()[:32]
