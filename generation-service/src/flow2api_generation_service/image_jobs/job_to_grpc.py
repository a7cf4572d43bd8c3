"""A job of the tables as its readers see it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from flow2api_generation_service.image_jobs.models import ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.states import FINAL_STATES, ImageJobState, PictureState
from flow2api_generation_service.image_jobs.transitions import results_of
from flow2api_generation_service.images.progress import percent_while_generating
from flow2api_proto.generation.v1 import image_job_pb2

JOB_STATES: Final = {
    image_job_pb2.IMAGE_JOB_STATE_QUEUED: ImageJobState.QUEUED,
    image_job_pb2.IMAGE_JOB_STATE_IN_PROGRESS: ImageJobState.IN_PROGRESS,
    image_job_pb2.IMAGE_JOB_STATE_COMPLETED: ImageJobState.COMPLETED,
    image_job_pb2.IMAGE_JOB_STATE_FAILED: ImageJobState.FAILED,
    image_job_pb2.IMAGE_JOB_STATE_CANCELLED: ImageJobState.CANCELLED,
}
_PROTO_STATES: Final = {state: value for value, state in JOB_STATES.items()}


def image_job_of(
    job: ImageJobRow,
    pictures: Sequence[ImageJobPictureRow],
    *,
    kept_media: Collection[str],
    retention: timedelta,
    now: datetime,
) -> image_job_pb2.ImageJob:
    """The job; pictures whose file is not kept any more are left out."""
    shown = image_job_pb2.ImageJob(
        generation_id=job.generation_id,
        api_key_id=job.api_key_id,
        state=_PROTO_STATES[ImageJobState(job.state)],
        model_id=job.model_id,
        image_count=job.image_count,
        progress_percent=_progress_percent(job, pictures, now),
        version=job.version,
        results=results_of([each for each in pictures if each.media_id is None or each.media_id in kept_media]),
        answer_options=job.answer_options,
    )
    shown.create_time.FromDatetime(job.create_time)
    shown.deadline_time.FromDatetime(job.deadline_time)
    if job.complete_time is not None:
        shown.complete_time.FromDatetime(job.complete_time)
        shown.expire_time.FromDatetime(job.complete_time + retention)
    if job.error is not None:
        shown.error.CopyFrom(image_job_pb2.ImageJobError(**job.error))
    return shown


def _progress_percent(job: ImageJobRow, pictures: Sequence[ImageJobPictureRow], now: datetime) -> int:
    if job.state == ImageJobState.COMPLETED:
        return 100
    if not pictures or (job.state in FINAL_STATES and job.complete_time is None):
        return 0
    until = job.complete_time if job.complete_time is not None else now
    total = sum(_picture_percent(each, job.typical_duration_seconds, until) for each in pictures)
    return min(total // len(pictures), 99)


def _picture_percent(picture: ImageJobPictureRow, typical_seconds: int, now: datetime) -> int:
    match picture.state:
        case PictureState.MADE | PictureState.FAILED:
            return 100
        case PictureState.ASKED if picture.asked_time is not None:
            return percent_while_generating((now - picture.asked_time).total_seconds(), typical_seconds)
        case _:
            return 0
