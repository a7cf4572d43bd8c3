"""Following one job as it changes, on any replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.job_to_grpc import JOB_STATES
from flow2api_generation_service.videos.read import VideoReader
from flow2api_generation_service.videos.states import FINAL_STATES
from flow2api_proto.generation.v1 import video_pb2

_LOOK_INTERVAL: Final = timedelta(seconds=1)
"""Notifications may be lost, and progress rises without any change of the row."""


class VideoWatch:
    """Streams of changes."""

    def __init__(self, *, reader: VideoReader, changes: VideoChanges) -> None:
        self._reader = reader
        self._changes = changes

    async def follow(self, video_id: str, *, api_key_id: str, after_version: int) -> AsyncIterator[video_pb2.Video]:
        """The job after each change, and whenever its estimated progress or place in the queue moves.

        It begins with the job as it is now, unless the caller has seen that version; it ends with a final state, which
        is told even to who has seen it. Raises NotFound VIDEO_NOT_FOUND, also when the job is deleted meanwhile.
        """
        with self._changes.waiter(video_id) as waiter:
            video = await self._reader.get(video_id, api_key_id=api_key_id)
            seen = _signature(video) if video.version <= after_version else None
            while True:
                if _is_final(video) or _signature(video) != seen:
                    seen = _signature(video)
                    yield video
                if _is_final(video):
                    return
                await waiter.wait(_LOOK_INTERVAL)
                video = await self._reader.get(video_id, api_key_id=api_key_id)


def _signature(video: video_pb2.Video) -> tuple[int, int, int]:
    return video.version, video.progress_percent, video.queue_position


def _is_final(video: video_pb2.Video) -> bool:
    return JOB_STATES[video.state] in FINAL_STATES
