"""Video jobs of the generation-service: created, read, followed to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from flow2api_common.errors import DependencyUnavailable, UpstreamTimeout
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_gateway.edge.answer_headers import note_replay
from flow2api_gateway.edge.rate_limits import note_quota
from flow2api_proto.generation.v1 import video_pb2

if TYPE_CHECKING:
    from flow2api_proto.generation.v1.generation_service_pb2_grpc import GenerationServiceAsyncStub

FINAL_STATES: Final = frozenset(
    {
        video_pb2.VIDEO_STATE_COMPLETED,
        video_pb2.VIDEO_STATE_FAILED,
        video_pb2.VIDEO_STATE_FILTERED,
        video_pb2.VIDEO_STATE_CANCELLED,
        video_pb2.VIDEO_STATE_EXPIRED,
    }
)
_RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_PATIENCE_SECONDS: Final = 120.0
log = get_logger(__name__)


async def create_video(
    generation: GenerationServiceAsyncStub, request: video_pb2.CreateVideoRequest
) -> video_pb2.Video:
    """Accept a job; when this returns it is durable."""
    return (await accept_video(generation, request)).video


async def accept_video(
    generation: GenerationServiceAsyncStub, request: video_pb2.CreateVideoRequest
) -> video_pb2.CreateVideoResponse:
    """Accept a job, and hear what was chosen for it."""
    with rpc_errors("generation"):
        answer = await generation.CreateVideo(request)
    if answer.HasField("request_quota"):
        note_quota(answer.request_quota)
    if answer.replayed:
        note_replay()
    return answer


async def get_video(generation: GenerationServiceAsyncStub, video_id: str, *, api_key_id: str) -> video_pb2.Video:
    """Read a job of this key. Raises NotFound VIDEO_NOT_FOUND, also for another key's."""
    with rpc_errors("generation"):
        answer = await generation.GetVideo(video_pb2.GetVideoRequest(video_id=video_id, api_key_id=api_key_id))
    return answer.video


async def follow_video(
    generation: GenerationServiceAsyncStub,
    video_id: str,
    *,
    api_key_id: str,
    timeout: timedelta,
    after_version: int = 0,
    after_progress_percent: int = 0,
) -> AsyncIterator[video_pb2.Video]:
    """The job now and after each change; ends after a final state. Progress never goes back.

    The service may go and come back meanwhile: the watch is taken up again after the last version seen, for as long as
    two minutes without an answer. Closing the iterator leaves the job running. Raises UpstreamTimeout when the job has
    not ended after ``timeout``; it goes on.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout.total_seconds()
    failures, silent_since = 0, loop.time()
    while True:
        request = video_pb2.WatchVideoRequest(
            video_id=video_id,
            api_key_id=api_key_id,
            after_version=after_version,
            after_progress_percent=after_progress_percent,
        )
        try:
            with rpc_errors("generation"):
                async for event in generation.WatchVideo(request, timeout=max(0.001, deadline - loop.time())):
                    failures, silent_since, after_version = 0, loop.time(), event.video.version
                    after_progress_percent = max(after_progress_percent, event.video.progress_percent)
                    yield event.video
                    if event.video.state in FINAL_STATES:
                        return
            # The stream ended in between: the service is being replaced.
        except DependencyUnavailable as error:
            if loop.time() >= deadline:
                raise UpstreamTimeout("The video was not ready in time; it goes on.", paid=True) from error
            if loop.time() - silent_since > _PATIENCE_SECONDS:
                raise
        log.info("video_watch_resumed", video_id=video_id, failures=failures)
        await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        failures += 1
