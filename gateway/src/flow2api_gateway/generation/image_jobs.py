"""Image jobs of the generation-service: created, followed to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InternalError, UpstreamTimeout
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.grpc_errors import ERROR_CLASSES
from flow2api_common.logs import get_logger
from flow2api_gateway.edge.answer_headers import note_replay
from flow2api_gateway.edge.rate_limits import note_quota
from flow2api_gateway.generation.images import MadePictures
from flow2api_gateway.generation.watching import Seen, Watch, follow
from flow2api_proto.generation.v1 import image_job_pb2

if TYPE_CHECKING:
    from flow2api_proto.generation.v1.generation_service_pb2_grpc import GenerationServiceAsyncStub

FINAL_STATES: Final = frozenset(
    {
        image_job_pb2.IMAGE_JOB_STATE_COMPLETED,
        image_job_pb2.IMAGE_JOB_STATE_FAILED,
        image_job_pb2.IMAGE_JOB_STATE_CANCELLED,
    }
)
log = get_logger(__name__)


async def create_image_job(
    generation: GenerationServiceAsyncStub, request: image_job_pb2.CreateImageJobRequest
) -> image_job_pb2.ImageJob:
    """Accept a job; when this returns it is durable."""
    with rpc_errors("generation"):
        answer = await generation.CreateImageJob(request)
    if answer.HasField("request_quota"):
        note_quota(answer.request_quota)
    if answer.replayed:
        note_replay()
    return answer.job


async def get_image_job(
    generation: GenerationServiceAsyncStub, generation_id: str, *, api_key_id: str
) -> image_job_pb2.ImageJob:
    """Read a job of this key. Raises NotFound IMAGE_JOB_NOT_FOUND, also for another key's."""
    request = image_job_pb2.GetImageJobRequest(generation_id=generation_id, api_key_id=api_key_id)
    with rpc_errors("generation"):
        return (await generation.GetImageJob(request)).job


async def follow_image_job(
    generation: GenerationServiceAsyncStub,
    generation_id: str,
    *,
    api_key_id: str,
    timeout: timedelta,
    after_version: int = 0,
    after_progress_percent: int = 0,
) -> AsyncGenerator[image_job_pb2.ImageJob, None]:
    """The job now and after each change, as `follow` tells.

    Raises UpstreamTimeout when the job has not ended after ``timeout``; it goes on.
    """

    async def call(seen: Seen, seconds: float) -> AsyncGenerator[image_job_pb2.ImageJob, None]:
        request = image_job_pb2.WatchImageJobRequest(
            generation_id=generation_id,
            api_key_id=api_key_id,
            after_version=seen.version,
            after_progress_percent=seen.progress_percent,
        )
        async for event in generation.WatchImageJob(request, timeout=seconds):
            yield event.job

    watch = Watch(
        call=call,
        state_of=lambda job: job.state,
        final_states=FINAL_STATES,
        too_late=UpstreamTimeout("The pictures were not ready in time; their job goes on."),
    )
    versions = follow(watch, job_id=generation_id, timeout=timeout, seen=Seen(after_version, after_progress_percent))
    async with aclosing(versions):
        async for version in versions:
            yield version


async def image_job_after(
    generation: GenerationServiceAsyncStub, job: image_job_pb2.ImageJob, wait: timedelta
) -> image_job_pb2.ImageJob:
    """The job when it has ended, or as it is after ``wait``."""
    latest = job
    if job.state in FINAL_STATES:
        return job
    versions = follow_image_job(generation, job.generation_id, api_key_id=job.api_key_id, timeout=wait)
    try:
        # A watch whose deadline is over while nobody answers raises; the job is durable all the same.
        async with asyncio.timeout(wait.total_seconds()), aclosing(versions):
            async for version in versions:
                latest = version
    except (TimeoutError, UpstreamTimeout, DependencyUnavailable) as error:
        log.debug("image_job_not_awaited", generation_id=job.generation_id, error=repr(error))
    return latest


def made_pictures(job: image_job_pb2.ImageJob) -> MadePictures:
    """What a job has made so far."""
    made = MadePictures(generation_id=job.generation_id)
    for event in job.results:
        if event.HasField("image"):
            made.images[event.image_index] = event.image
        else:
            made.failures[event.image_index] = event.failure
    return made


def error_of_job(job: image_job_pb2.ImageJob) -> Flow2APIError:
    """Why a job has failed."""
    error_class = ERROR_CLASSES.get(job.error.error_class, InternalError)
    return error_class(job.error.message, reason=job.error.reason or None, metadata=dict(job.error.metadata))
