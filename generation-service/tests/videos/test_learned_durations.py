"""How long finished clips took is learned once each, and what is known travels with the next ones."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import select

from flow2api_common.database import Database
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.nats_streams import VIDEO_JOBS
from flow2api_common.settings import NatsSettings, load_settings
from flow2api_generation_service.durations.models import VideoDurationRow
from flow2api_generation_service.durations.sketch import PARTS
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_testing.waiting import eventually


@pytest_asyncio.fixture
async def videos(start_videos: Any, pool: Any) -> AsyncIterator[Any]:
    """A service without a poller: the tests report in its place."""
    await pool.add_flow("sandbox-st-1")
    async with start_videos(poller=False, video_learning_interval=timedelta(milliseconds=50)) as client:
        yield client


@pytest_asyncio.fixture
async def nats(nats_url: str) -> AsyncIterator[NatsConnection]:
    async with nats_connection(load_settings(NatsSettings, nats_url=SecretStr(nats_url)), "tests") as connection:
        yield connection


def ready(video_id: str, kind: str) -> video_events_pb2.VideoEvent:
    """News that a clip is ready, 20 s after its submission."""
    event = video_events_pb2.VideoEvent(video_id=video_id, stage=video_events_pb2.VIDEO_STAGE_GENERATE)
    event.observed_duration.not_ready_ms, event.observed_duration.ready_ms = 19_000, 21_000
    if kind == "stored":
        event.stored.media_id = f"media_{video_id}"
        event.stored.content_type = "video/mp4"
    else:
        event.storing.SetInParent()
    return event


async def rows(database: Database) -> list[VideoDurationRow]:
    async with database.transaction(read_only=True) as session:
        return list((await session.scalars(select(VideoDurationRow))).all())


async def followed(nats: NatsConnection) -> video_events_pb2.PollVideo:
    """What the poller was told last."""
    message = await nats.js.get_last_msg(VIDEO_JOBS, "video.poll.flow")
    return video_events_pb2.PollVideo.FromString(message.data or b"")


async def test_each_clip_counts_once_whatever_is_delivered_again(
    videos: Any, nats: NatsConnection, sqlite_database: Database
) -> None:
    for kinds in (("storing", "storing", "stored"), ("stored", "storing")):
        video = await videos.create()
        await videos.until(video.video_id, "in_progress")
        for number, kind in enumerate(kinds):
            event = ready(video.video_id, kind)
            await nats.publish(f"video.events.{video.video_id}", event, msg_id=f"{video.video_id}:{number}")
        await videos.until(video.video_id, "completed", "storing", timeout=10)

    async def both() -> list[VideoDurationRow]:
        found = await rows(sqlite_database)
        assert [row.clip_count for row in found] == [2]
        return found

    (row,) = await eventually(both)
    assert row.series == "flow/veo_3_1_t2v_fast/text/8s/720p"


async def test_what_was_learned_travels_with_the_next_clip(videos: Any, nats: NatsConnection) -> None:
    first = await videos.create()
    await videos.until(first.video_id, "in_progress")
    before = await eventually(lambda: followed(nats))
    assert len(before.duration_quantiles_ms) == PARTS + 1
    assert before.duration_quantiles_ms[PARTS // 2] > 80_000
    await nats.publish(f"video.events.{first.video_id}", ready(first.video_id, "storing"), msg_id="ready")

    async def next_one() -> video_events_pb2.PollVideo:
        video = await videos.create()
        await videos.until(video.video_id, "in_progress")
        message = await followed(nats)
        assert message.video_id == video.video_id
        return message

    after = await eventually(lambda: _lower(next_one, before))
    assert after.duration_quantiles_ms[0] < before.duration_quantiles_ms[0]


async def _lower(look: Any, before: video_events_pb2.PollVideo) -> video_events_pb2.PollVideo:
    message: video_events_pb2.PollVideo = await look()
    assert message.duration_quantiles_ms[0] < before.duration_quantiles_ms[0]
    return message
