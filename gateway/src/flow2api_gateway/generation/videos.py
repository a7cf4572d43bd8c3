"""Video jobs of the generation-service: created, read, followed to their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from flow2api_common.errors import UpstreamTimeout
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.edge.answer_headers import note_replay
from flow2api_gateway.edge.rate_limits import note_quota
from flow2api_gateway.generation.watching import Seen, Watch, follow
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
) -> AsyncGenerator[video_pb2.Video, None]:
    """The job now and after each change, as `follow` tells; progress never goes back.

    Raises UpstreamTimeout when the job has not ended after ``timeout``; it goes on.
    """

    async def call(seen: Seen, seconds: float) -> AsyncGenerator[video_pb2.Video, None]:
        request = video_pb2.WatchVideoRequest(
            video_id=video_id,
            api_key_id=api_key_id,
            after_version=seen.version,
            after_progress_percent=seen.progress_percent,
        )
        async for event in generation.WatchVideo(request, timeout=seconds):
            yield event.video

    watch = Watch(
        call=call,
        state_of=lambda video: video.state,
        final_states=FINAL_STATES,
        too_late=UpstreamTimeout("The video was not ready in time; it goes on.", paid=True),
    )
    versions = follow(watch, job_id=video_id, timeout=timeout, seen=Seen(after_version, after_progress_percent))
    async with aclosing(versions):
        async for version in versions:
            yield version
