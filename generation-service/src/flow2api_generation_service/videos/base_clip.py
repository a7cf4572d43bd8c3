"""When the enlargement fails, the clip that was to be enlarged is still good: it is stored and the job completes with
it.

Source: docs/upstream/flow.md, section 11.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.logs import get_logger
from flow2api_generation_service.videos.messages import Following, enqueue_following
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import Stage
from flow2api_generation_service.videos.transitions import JobTransitions

log = get_logger(__name__)

_TIME_TO_STORE: Final = timedelta(minutes=15)


async def fall_back_to_base_clip(session: AsyncSession, *, clock: Clock, job: JobRow, reason: str) -> bool:
    """Have the base clip stored instead. False when the job is not being enlarged any more."""
    now = clock()
    deadline_time = now + _TIME_TO_STORE
    note = f"The video could not be enlarged to {job.upscale_to}, so this is the smaller one. {reason}"
    if not await JobTransitions(session, clock=clock).fall_back_to_base_clip(job.video_id, note, deadline_time):
        return False
    log.warning("video_not_enlarged", video_id=job.video_id, reason=reason)
    await enqueue_following(
        session,
        clock=clock,
        following=Following(
            video_id=job.video_id,
            model_id=job.model_id,
            stage=Stage.GENERATE,
            provider=job.provider or "",
            lease=job.lease or b"",
            operation_handle=job.base_operation_handle or "",
            submit_time=now,
            deadline_time=deadline_time,
            # It is ready: the first look is at once, and nothing is learned from it.
            typical_seconds=0,
            quantiles_ms=(),
            has_next_stage=False,
        ),
        message_id=f"{job.video_id}:base",
    )
    return True
