"""From a job of the table to flow2api.generation.v1.Video."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from flow2api_generation_service.videos.counted_tokens import usage_of
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.progress import progress_percent
from flow2api_generation_service.videos.states import JobState
from flow2api_proto.generation.v1 import media_pb2, video_pb2

VIDEO_STATES: Final = {state: video_pb2.VideoState.Value(f"VIDEO_STATE_{state.name}") for state in JobState}
JOB_STATES: Final = {value: state for state, value in VIDEO_STATES.items()}

_LONG_SIDES: Final = {"360p": 640, "720p": 1280, "1080p": 1920, "4k": 3840}
_UNHAPPY_ENDS: Final = frozenset({JobState.FAILED, JobState.FILTERED, JobState.CANCELLED, JobState.EXPIRED})


def video_of(
    job: JobRow,
    *,
    now: datetime,
    queue_position: int = 0,
    media: media_pb2.Media | None = None,
    thumbnail: media_pb2.Media | None = None,
    spritesheet: media_pb2.Media | None = None,
) -> video_pb2.Video:
    """The job as its readers see it. ``media`` is the stored clip of a completed one, the others are made of it."""
    state = JobState(job.state)
    video = video_pb2.Video(
        video_id=job.video_id,
        model_id=job.model_id,
        state=VIDEO_STATES[state],
        progress_percent=progress_percent(job, now),
        queue_position=queue_position,
        prompt=job.prompt,
        duration_seconds=job.duration_seconds,
        size=_size_of(job, media),
        source_video_id=job.source_video_id or "",
        metadata=job.client_metadata,
        version=job.version,
        api_key_id=job.api_key_id,
        warning=job.note or "",
        usage=usage_of(job),
    )
    video.create_time.FromDatetime(job.create_time)
    if job.submit_time is not None:
        video.submit_time.FromDatetime(job.submit_time)
    if job.complete_time is not None:
        video.complete_time.FromDatetime(job.complete_time)
    if state is JobState.COMPLETED and media is not None:
        video.media.CopyFrom(media)
        if media.HasField("expire_time"):
            video.expire_time.CopyFrom(media.expire_time)
        if thumbnail is not None:
            video.thumbnail.CopyFrom(thumbnail)
        if spritesheet is not None:
            video.spritesheet.CopyFrom(spritesheet)
    if state in _UNHAPPY_ENDS:
        video.error.CopyFrom(video_pb2.VideoError(code=job.error_code or "", message=job.error_message or ""))
    if job.token_id is not None:
        video.placement.CopyFrom(
            video_pb2.VideoPlacement(
                provider=job.provider or "",
                upstream_model=job.upstream_model or "",
                token_id=job.token_id,
                operation_name=job.operation_name or "",
                credits=job.credits if job.submit_time is not None else None,
            )
        )
    return video


def _size_of(job: JobRow, media: media_pb2.Media | None) -> media_pb2.Dimensions:
    if media is not None and media.width and media.height:
        return media_pb2.Dimensions(width=media.width, height=media.height)
    long_side = _LONG_SIDES.get(job.resolution.lower(), _LONG_SIDES["720p"])
    short_side = long_side * 9 // 16
    if job.aspect_ratio == "9:16":
        return media_pb2.Dimensions(width=short_side, height=long_side)
    return media_pb2.Dimensions(width=long_side, height=short_side)
