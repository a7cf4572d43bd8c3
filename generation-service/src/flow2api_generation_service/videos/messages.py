"""The messages of a job on NATS, and the ids by which JetStream drops repeats of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_generation_service.videos.outbox import OutboxRepository
from flow2api_generation_service.videos.states import Stage
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2

PROTO_STAGES: Final = {
    Stage.GENERATE: video_events_pb2.VIDEO_STAGE_GENERATE,
    Stage.UPSCALE: video_events_pb2.VIDEO_STAGE_UPSCALE,
}


@dataclass(frozen=True, slots=True)
class Following:
    """Everything that the poller has to know of an operation; it keeps nothing itself."""

    video_id: str
    model_id: str
    stage: Stage
    provider: str
    lease: bytes
    operation_handle: str
    submit_time: datetime
    deadline_time: datetime
    typical_seconds: int
    quantiles_ms: tuple[int, ...]
    has_next_stage: bool


async def enqueue_submission(
    session: AsyncSession, *, clock: Clock, video_id: str, stage: Stage, provider: str
) -> None:
    """Have a submit worker hand this stage to the upstream, once the transaction has committed."""
    message = video_events_pb2.SubmitVideo(video_id=video_id, stage=PROTO_STAGES[stage])
    outbox = OutboxRepository(session, clock=clock)
    await outbox.add(f"video.submit.{provider}", message, message_id=f"{video_id}:{stage.value}")


async def enqueue_following(session: AsyncSession, *, clock: Clock, following: Following, message_id: str) -> None:
    """Have the poller follow an operation, once the transaction has committed."""
    message = video_events_pb2.PollVideo(
        video_id=following.video_id,
        stage=PROTO_STAGES[following.stage],
        provider=following.provider,
        lease=token_pb2.Lease.FromString(following.lease),
        operation_handle=following.operation_handle,
        model_id=following.model_id,
        typical_duration_ms=following.typical_seconds * 1000,
        has_next_stage=following.has_next_stage,
        duration_quantiles_ms=following.quantiles_ms,
    )
    message.submit_time.FromDatetime(following.submit_time)
    message.deadline_time.FromDatetime(following.deadline_time)
    outbox = OutboxRepository(session, clock=clock)
    await outbox.add(f"video.poll.{following.provider}", message, message_id=message_id)
