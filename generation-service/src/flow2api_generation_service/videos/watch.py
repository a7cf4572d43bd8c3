"""Following one job as it changes, on any replica."""

from __future__ import annotations

from collections.abc import AsyncIterator

from flow2api_generation_service.videos.job_to_grpc import JOB_STATES
from flow2api_generation_service.videos.read import video_not_found
from flow2api_generation_service.videos.states import FINAL_STATES
from flow2api_generation_service.videos.watched import WatchedVideos, signature
from flow2api_proto.generation.v1 import video_pb2


class VideoWatch:
    """Streams of changes."""

    def __init__(self, *, watched: WatchedVideos) -> None:
        self._watched = watched

    async def follow(
        self, video_id: str, *, api_key_id: str, after_version: int, after_progress_percent: int = 0
    ) -> AsyncIterator[video_pb2.Video]:
        """The job after each change, and whenever its estimated progress or place in the queue moves.

        It begins with the job as it is now, unless the caller has seen that version and progress; it ends with a final
        state, which is told even to who has seen it. Progress never goes back, below what the caller has seen neither:
        the clocks of replicas differ a little. Raises NotFound VIDEO_NOT_FOUND, also when the job is deleted meanwhile.
        """
        progress = min(max(after_progress_percent, 0), 100)
        seen: tuple[int, int, int] | None = None
        with self._watched.watching(video_id) as watcher:
            is_first = True
            while True:
                video = await watcher.now()
                if api_key_id and video.api_key_id != api_key_id:
                    raise video_not_found(video_id)
                if video.progress_percent < progress:
                    # A copy: the other watchers have it too.
                    video = _with_progress(video, progress)
                if is_first and video.version <= after_version:
                    seen = (video.version, after_progress_percent or video.progress_percent, video.queue_position)
                is_first = False
                if _is_final(video) or signature(video) != seen:
                    seen, progress = signature(video), video.progress_percent
                    yield video
                if _is_final(video):
                    return
                await watcher.changed()


def _with_progress(video: video_pb2.Video, progress_percent: int) -> video_pb2.Video:
    copy = video_pb2.Video()
    copy.CopyFrom(video)
    copy.progress_percent = progress_percent
    return copy


def _is_final(video: video_pb2.Video) -> bool:
    return JOB_STATES[video.state] in FINAL_STATES
