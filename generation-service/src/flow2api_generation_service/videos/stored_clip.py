"""From what the poller says that it has stored to the rows of these files."""

from __future__ import annotations

from typing import Final

from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.service import MediaService, Origin
from flow2api_generation_service.videos.models import JobRow
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import MediaHandle

THUMBNAIL: Final = "thumbnail"
SPRITESHEET: Final = "spritesheet"


def rows_of(stored: video_events_pb2.VideoStored, job: JobRow, media: MediaService) -> list[MediaRow]:
    """The clip and the pictures that were made of it, which end with it."""
    origin = Origin(
        generation_id=job.video_id,
        api_key_id=job.api_key_id,
        provider=job.provider or "",
        token_id=job.token_id,
        upstream_handle=MediaHandle(stored.result_handle),
    )
    clip = media.new_row(
        media_id=stored.media_id,
        object_key=stored.object_key,
        content_type=stored.content_type,
        size_bytes=stored.size_bytes,
        width=stored.width,
        height=stored.height,
        duration_ms=stored.duration_ms,
        origin=origin,
    )
    rows = [clip]
    for variant, still in _stills_of(stored):
        row = media.new_row(
            media_id=still.media_id,
            object_key=still.object_key,
            content_type=still.content_type,
            size_bytes=still.size_bytes,
            width=still.width,
            height=still.height,
            origin=Origin(generation_id=job.video_id, api_key_id=job.api_key_id),
        )
        row.expire_time = clip.expire_time
        row.derived_from = clip.media_id
        row.variant = variant
        rows.append(row)
    return rows


def keys_of(stored: video_events_pb2.VideoStored) -> list[str]:
    """Where the clip and its pictures are."""
    return [stored.object_key, *(still.object_key for _, still in _stills_of(stored))]


def _stills_of(stored: video_events_pb2.VideoStored) -> list[tuple[str, video_events_pb2.StoredStill]]:
    named = [(THUMBNAIL, stored.thumbnail), (SPRITESHEET, stored.spritesheet)]
    return [(variant, still) for variant, still in named if still.media_id]
