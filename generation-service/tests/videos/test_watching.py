"""Many watch, few queries are made; and nobody misses a change, on whichever replica they watch."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import pytest_asyncio

from flow2api_common.database import Database
from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_common.grpc_client import rpc_errors
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.endings import CANCELLED_UNPAID
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.read import VideoReader
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import FINAL_STATES, JobState
from flow2api_generation_service.videos.transitions import JobTransitions
from flow2api_generation_service.videos.watch import VideoWatch
from flow2api_generation_service.videos.watched import WatchedVideos
from flow2api_proto.generation.v1 import video_pb2
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_testing.waiting import eventually

JOBS = 50
WATCHERS = 1000


class NoNats:
    """NATS is away: what is announced reaches this process only."""

    is_connected = False


class Board:
    """Jobs in the table, and one replica that watches them; the clock stands still unless a test turns it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        self.changes = VideoChanges(nats=cast("Any", NoNats()))
        self.watched = WatchedVideos(
            reader=VideoReader(database=database, clock=lambda: self.now), changes=self.changes, clock=lambda: self.now
        )
        self.watch = VideoWatch(watched=self.watched)

    async def add(self, video_id: str, **changes: Any) -> None:
        values = {
            "video_id": video_id,
            "api_key_id": "key_1",
            "request_hash": "0" * 64,
            "model_id": "omni",
            "prompt": "waves",
            "kind": "text",
            "aspect_ratio": "16:9",
            "duration_seconds": 8,
            "resolution": "720p",
            "seed": 7,
            "typical_duration_seconds": 100,
            "deadline_seconds": 900,
            "state": JobState.QUEUED,
            "create_time": self.now,
            "state_time": self.now,
            "deadline_time": self.now + timedelta(hours=1),
        } | changes
        async with self.database.transaction() as session:
            await JobRepository(session).add(JobRow(**values))

    async def cancel(self, video_id: str) -> None:
        async with self.database.transaction() as session:
            await JobTransitions(session, clock=lambda: self.now).end(video_id, CANCELLED_UNPAID)
        await self.changes.announce(video_id)

    def follow(self, video_id: str, **fields: Any) -> AsyncIterator[video_pb2.Video]:
        return self.watch.follow(video_id, **{"api_key_id": "key_1", "after_version": 0} | fields)


@pytest_asyncio.fixture
async def board(sqlite_database: Database) -> AsyncIterator[Board]:
    """A replica that watches."""
    made = Board(sqlite_database)
    running = asyncio.create_task(made.watched.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_thousand_watchers_share_what_is_read(board: Board) -> None:
    ids = [f"video_{number:02}" for number in range(JOBS)]
    for video_id in ids:
        await board.add(video_id, state=JobState.IN_PROGRESS, submit_time=board.now)
    seen: Counter[str] = Counter()
    ended: Counter[str] = Counter()

    async def follow(video_id: str) -> None:
        async for video in board.follow(video_id):
            seen[video_id] += 1
            ended[video_id] += video.state == video_pb2.VIDEO_STATE_CANCELLED

    async with asyncio.TaskGroup() as group:
        for number in range(WATCHERS):
            group.create_task(follow(ids[number % JOBS]))
        await eventually(lambda: seen.total() == WATCHERS)
        assert board.watched.read_count == JOBS
        for video_id in ids:
            await board.cancel(video_id)
    assert ended == Counter(dict.fromkeys(ids, WATCHERS // JOBS))
    # One look at each change, and those of the fallback, not one for each watcher.
    assert board.watched.read_count < 10 * JOBS


async def test_progress_rises_without_a_query(board: Board) -> None:
    await board.add("video_1", state=JobState.IN_PROGRESS, submit_time=board.now)
    async with aclosing(board.follow("video_1")) as versions:
        first = await anext(versions)
        board.now += timedelta(seconds=50)
        second = await anext(versions)
    assert (first.progress_percent, second.version) == (2, first.version)
    assert second.progress_percent > 30


async def test_progress_does_not_go_back_below_what_another_replica_told(board: Board) -> None:
    await board.add("video_1", state=JobState.IN_PROGRESS, submit_time=board.now)
    async with aclosing(board.follow("video_1", after_version=1, after_progress_percent=40)) as versions:
        following = asyncio.ensure_future(anext(versions))
        board.now += timedelta(seconds=20)
        await asyncio.sleep(0)
        board.now += timedelta(seconds=40)
        told = await following
    assert told.progress_percent > 40


async def test_the_end_is_told_to_who_has_seen_it(board: Board) -> None:
    await board.add("video_1")
    await board.cancel("video_1")
    seen = [video async for video in board.follow("video_1", after_version=2, after_progress_percent=90)]
    assert [(video.version, video.progress_percent) for video in seen] == [(2, 90)]


async def test_the_place_in_the_queue_is_told(board: Board) -> None:
    await board.add("video_1")
    await board.add("video_2")
    async with aclosing(board.follow("video_2")) as versions:
        first = await anext(versions)
        await board.cancel("video_1")
        second = await anext(versions)
    assert (first.queue_position, second.queue_position) == (1, 0)


async def test_a_job_that_is_deleted_or_of_another_key_is_not_there(board: Board) -> None:
    await board.add("video_1")
    with pytest.raises(NotFound):
        await anext(aiter(board.follow("video_1", api_key_id="key_2")))
    with pytest.raises(NotFound):
        await anext(aiter(board.follow("video_9")))
    async with aclosing(board.follow("video_1")) as versions:
        await anext(versions)
        await board.cancel("video_1")
        await anext(versions)
    await board.add("video_2")
    async with aclosing(board.follow("video_2")) as versions:
        await anext(versions)
        async with board.database.transaction() as session:
            await JobTransitions(session, clock=lambda: board.now).end("video_2", CANCELLED_UNPAID)
            await JobRepository(session).delete("video_2", states=FINAL_STATES)
        await board.changes.announce("video_2")
        with pytest.raises(NotFound):
            await anext(versions)


async def test_a_change_on_another_replica_is_heard(start_videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1", limit=0)
    async with start_videos(poller=False) as here, start_videos(poller=False) as there:
        video = await here.create()
        watching = here.watch(video.video_id)
        first = await watching.read()
        assert first.video.state == video_pb2.VIDEO_STATE_QUEUED
        await there.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=video.video_id))
        states = [first.video.state]
        while states[-1] != video_pb2.VIDEO_STATE_CANCELLED:
            states.append((await watching.read()).video.state)


async def test_cancelling_says_what_was_charged(videos: Any, pool: Any) -> None:
    pool.accounts[1].limit = 0
    queued = await videos.create()
    answer = await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=queued.video_id))
    assert (answer.charge, answer.HasField("charged_credits")) == (video_pb2.VIDEO_CHARGE_NONE, False)
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.INTERNAL, route="flow.status"))
    pool.accounts[1].limit = 1
    running = await videos.create()
    await videos.until(running.video_id, "in_progress")
    answer = await videos.stub.CancelVideo(video_pb2.CancelVideoRequest(video_id=running.video_id))
    assert answer.charge == video_pb2.VIDEO_CHARGE_CHARGED
    assert answer.charged_credits > 0


async def test_lists_are_narrowed_by_model_and_time(board: Board) -> None:
    start = board.now
    for number, model in enumerate(("omni", "veo", "omni")):
        await board.add(f"video_{number}", model_id=model, create_time=start + timedelta(minutes=number))
    reader = VideoReader(database=board.database, clock=lambda: board.now)

    async def ids(**fields: Any) -> list[str]:
        return [video.video_id for video in (await reader.page(video_pb2.ListVideosRequest(**fields))).videos]

    assert await ids(model_ids=["omni"]) == ["video_2", "video_0"]
    assert await ids(create_time_from=start + timedelta(minutes=1)) == ["video_2", "video_1"]
    assert await ids(create_time_before=start + timedelta(minutes=1)) == ["video_0"]
    assert await ids(model_ids=["veo", "omni"], create_time_before=start + timedelta(minutes=2)) == [
        "video_1",
        "video_0",
    ]


@pytest.mark.parametrize("away", [timedelta(seconds=-1), timedelta(days=8)])
async def test_a_deadline_must_lie_ahead_and_not_too_far(videos: Any, away: timedelta) -> None:
    with pytest.raises(InvalidArgument) as caught, rpc_errors("generation"):
        await videos.create(deadline_time=datetime.now(UTC) + away)
    assert [violation.field for violation in caught.value.violations] == ["deadline_time"]
