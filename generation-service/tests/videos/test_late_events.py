"""What the poller reports of a job that has gone another way meanwhile: nothing of it is left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from flow2api_common.errors import NotFound
from flow2api_common.media_store import MediaStore, media_key
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.settings import NatsSettings, load_settings
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.generation.v1 import image_pb2, video_pb2
from flow2api_testing.waiting import eventually

MEDIA_ID = "0123456789abcdef"


@pytest_asyncio.fixture
async def videos(start_videos: Any, pool: Any) -> AsyncIterator[Any]:
    """A service without a poller: the tests report in its place."""
    await pool.add_flow("sandbox-st-1")
    async with start_videos(poller=False) as client:
        yield client


@pytest_asyncio.fixture
async def nats(nats_url: str) -> AsyncIterator[NatsConnection]:
    async with nats_connection(load_settings(NatsSettings, nats_url=SecretStr(nats_url)), "tests") as connection:
        yield connection


@pytest_asyncio.fixture
async def store(media_url: str) -> MediaStore:
    """A store with the clip that is reported."""
    store = MediaStore.open(media_url)
    await store.put(media_key(MEDIA_ID, "video/mp4"), b"clip", content_type="video/mp4")
    return store


def stored(video_id: str, stage: video_events_pb2.VideoStage.ValueType) -> video_events_pb2.VideoEvent:
    clip = video_events_pb2.VideoStored(
        media_id=MEDIA_ID, object_key=media_key(MEDIA_ID, "video/mp4"), content_type="video/mp4", size_bytes=4
    )
    return video_events_pb2.VideoEvent(video_id=video_id, stage=stage, stored=clip)


async def completed(videos: Any, video_id: str) -> video_pb2.Video:
    async def is_completed() -> bool:
        return bool((await videos.get(video_id)).state == video_pb2.VIDEO_STATE_COMPLETED)

    await eventually(is_completed)
    return await videos.get(video_id)  # type: ignore[no-any-return] # a client of the tests


async def is_gone(store: MediaStore) -> bool:
    try:
        await store.size(media_key(MEDIA_ID, "video/mp4"))
    except NotFound:
        return True
    return False


async def test_a_clip_of_a_stage_that_was_given_up_is_removed(
    videos: Any, nats: NatsConnection, store: MediaStore
) -> None:
    video = await videos.create()
    await videos.until(video.video_id, "in_progress")
    event = stored(video.video_id, video_events_pb2.VIDEO_STAGE_UPSCALE)
    await nats.publish(f"video.events.{video.video_id}", event, msg_id="late")
    await eventually(lambda: is_gone(store))
    assert (await videos.get(video.video_id)).state == video_pb2.VIDEO_STATE_IN_PROGRESS


async def test_a_clip_is_removed_when_a_cancellation_is_faster_than_its_report(
    videos: Any, nats: NatsConnection, store: MediaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = await videos.create()
    await videos.until(video.video_id, "in_progress")
    await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id))
    get = JobRepository.get
    stale: list[str] = []

    async def get_stale_once(self: JobRepository, video_id: str, *, api_key_id: str = "") -> JobRow | None:
        job = await get(self, video_id, api_key_id=api_key_id)
        if not stale and job is not None:
            # As it was read just before the cancellation.
            stale.append(video_id)
            self._session.expunge(job)
            job.state = "in_progress"
        return job

    monkeypatch.setattr(JobRepository, "get", get_stale_once)
    event = stored(video.video_id, video_events_pb2.VIDEO_STAGE_GENERATE)
    await nats.publish(f"video.events.{video.video_id}", event, msg_id="late")
    await eventually(lambda: is_gone(store))
    assert stale


async def test_what_was_counted_is_kept_once_when_the_stored_clip_is_the_first_news(
    videos: Any, nats: NatsConnection, store: MediaStore
) -> None:
    video = await videos.create()
    await videos.until(video.video_id, "in_progress")
    event = stored(video.video_id, video_events_pb2.VIDEO_STAGE_GENERATE)
    event.counted_tokens.CopyFrom(
        video_events_pb2.CountedTokens(input_tokens=270, input_text_tokens=12, output_tokens=46_336, thought_tokens=3)
    )
    subject = f"video.events.{video.video_id}"
    await nats.publish(subject, event, msg_id="stored")
    counted = image_pb2.Usage(input_tokens=270, input_text_tokens=12, output_tokens=46_336, thought_tokens=3)
    assert (await completed(videos, video.video_id)).usage == counted
    other = await videos.create()
    await videos.until(other.video_id, "in_progress")
    await nats.publish(subject, event, msg_id="stored-again")
    uncounted = stored(other.video_id, video_events_pb2.VIDEO_STAGE_GENERATE)
    uncounted.stored.media_id = "fedcba9876543210"
    await nats.publish(f"video.events.{other.video_id}", uncounted, msg_id="other")
    assert not (await completed(videos, other.video_id)).HasField("usage")
    assert (await videos.get(video.video_id)).usage == counted
