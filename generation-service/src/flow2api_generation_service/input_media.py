"""The pictures that go into jobs of any kind: which are still needed, and which have done their service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import CompoundSelect, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.image_jobs.repository import ImageJobRepository, needed_image_inputs
from flow2api_generation_service.videos.repository import JobRepository, needed_video_inputs


def needed_input_media() -> CompoundSelect[str]:
    """The query for the files that go into jobs which are not certain to be handed in."""
    return union_all(needed_video_inputs(), needed_image_inputs())


async def spent_input_media(session: AsyncSession, *, now: datetime, limit: int) -> Sequence[str]:
    """Files that were stored for one job, which does not need them any more; at most ``limit`` of each kind of job."""
    of_videos = await JobRepository(session).spent_input_media(now=now, limit=limit)
    return [*of_videos, *await ImageJobRepository(session).spent_input_media(now=now, limit=limit)]
