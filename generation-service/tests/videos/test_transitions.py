"""Each change of a job is one guarded statement; on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from flow2api_common.database import Database
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_generation_service.videos.counted_tokens import counted_by, usage_of
from flow2api_generation_service.videos.endings import EXPIRED, Ending
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import FINAL_STATES, JobState, Stage
from flow2api_generation_service.videos.transitions import Attempt, JobTransitions, Submitted
from flow2api_proto.events.v1 import video_events_pb2

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)


def new_job(video_id: str = "video_1", **changes: Any) -> JobRow:
    return JobRow(
        **{
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
            "typical_duration_seconds": 80,
            "deadline_seconds": 900,
            "state": JobState.QUEUED,
            "create_time": NOW,
            "state_time": NOW,
            "deadline_time": LATER,
        }
        | changes
    )


def attempt(attempt_id: str = "attempt_1") -> Attempt:
    return Attempt(
        attempt_id=attempt_id,
        provider="flow",
        upstream_model="abra_t2v_8s",
        upsampler_model=None,
        token_id=3,
        lease=b"lease",
        micros=None,
        credits=25,
        typical_duration_seconds=80,
        upscale_typical_seconds=0,
        duration_quantiles_ms=(60_000, 120_000),
    )


SUBMITTED = Submitted(
    operation_handle="{}", operation_name="op-1", remaining_credits=75, submit_time=NOW, deadline_time=LATER
)


class Jobs:
    """Changes jobs, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, job: JobRow) -> None:
        async with self.database.transaction() as session:
            await JobRepository(session).add(job)

    async def get(self, video_id: str = "video_1") -> JobRow:
        async with self.database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id)
        assert job is not None
        return job

    async def change(self, change: Callable[[JobTransitions], Awaitable[bool]]) -> bool:
        async with self.database.transaction() as session:
            return await change(JobTransitions(session, clock=lambda: NOW))


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


async def test_a_job_goes_all_the_way_and_its_version_rises(jobs: Jobs) -> None:
    await jobs.add(new_job())
    steps: list[tuple[str, Callable[[JobTransitions], Awaitable[bool]]]] = [
        ("submitting", lambda t: t.begin_attempt("video_1", attempt())),
        ("submitting", lambda t: t.mark_paid_call("video_1", "attempt_1", Stage.GENERATE)),
        ("in_progress", lambda t: t.submitted("video_1", "attempt_1", SUBMITTED)),
        ("in_progress", lambda t: t.raise_progress("video_1", Stage.GENERATE, 40)),
        ("storing", lambda t: t.begin_storing("video_1", Stage.GENERATE)),
        ("completed", lambda t: t.complete("video_1", Stage.GENERATE, media_id="m", result_handle="{}")),
    ]
    for version, (state, step) in enumerate(steps, start=2):
        assert await jobs.change(step)
        job = await jobs.get()
        assert (job.state, job.version) == (state, version)
    assert job.complete_time == NOW
    assert job.progress_percent == 100


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.QUEUED])
async def test_only_a_queued_job_can_be_taken(jobs: Jobs, state: JobState) -> None:
    await jobs.add(new_job(state=state))
    assert not await jobs.change(lambda t: t.begin_attempt("video_1", attempt()))
    job = await jobs.get()
    assert (job.state, job.version, job.attempt_id) == (state, 1, None)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
async def test_a_final_job_stays_as_it_is(jobs: Jobs, state: JobState) -> None:
    await jobs.add(new_job(state=state, attempt_id="attempt_1"))
    for change in (
        lambda t: t.submitted("video_1", "attempt_1", SUBMITTED),
        lambda t: t.begin_storing("video_1", Stage.GENERATE),
        lambda t: t.complete("video_1", Stage.GENERATE, media_id="m", result_handle="{}"),
        lambda t: t.raise_progress("video_1", Stage.GENERATE, 90),
        lambda t: t.begin_upscaling("video_1", "{}", LATER),
        lambda t: t.end("video_1", EXPIRED),
        lambda t: t.give_back("video_1", "attempt_1", tried_token_ids=[], only_unpaid=False),
    ):
        assert not await jobs.change(change)
    assert (await jobs.get()).state == state


async def test_of_many_workers_one_gets_the_job(jobs: Jobs) -> None:
    await jobs.add(new_job())
    got = await asyncio.gather(
        *(jobs.change(lambda t, i=i: t.begin_attempt("video_1", attempt(f"attempt_{i}"))) for i in range(8))
    )
    assert sum(got) == 1
    job = await jobs.get()
    assert job.attempt_id == f"attempt_{got.index(True)}"
    assert job.attempt_count == 1


class TestMarkPaidCall:
    async def test_passes_once(self, jobs: Jobs) -> None:
        await jobs.add(new_job(state=JobState.SUBMITTING, attempt_id="attempt_1"))
        got = await asyncio.gather(
            *(jobs.change(lambda t: t.mark_paid_call("video_1", "attempt_1", Stage.GENERATE)) for _ in range(4))
        )
        assert sum(got) == 1

    async def test_is_refused_to_an_attempt_that_lost_the_job(self, jobs: Jobs) -> None:
        await jobs.add(new_job(state=JobState.SUBMITTING, attempt_id="attempt_2"))
        assert not await jobs.change(lambda t: t.mark_paid_call("video_1", "attempt_1", Stage.GENERATE))

    async def test_is_refused_after_a_cancellation(self, jobs: Jobs) -> None:
        await jobs.add(new_job(state=JobState.CANCELLED, attempt_id="attempt_1"))
        assert not await jobs.change(lambda t: t.mark_paid_call("video_1", "attempt_1", Stage.GENERATE))


class TestGiveBack:
    async def test_keeps_what_was_tried_and_forgets_the_attempt(self, jobs: Jobs) -> None:
        await jobs.add(new_job(state=JobState.SUBMITTING, attempt_id="attempt_1", token_id=3, submit_started_at=NOW))
        refusal = Ending(JobState.FAILED, "upstream_unavailable", "no")
        assert await jobs.change(
            lambda t: t.give_back("video_1", "attempt_1", tried_token_ids=[3], only_unpaid=False, refusal=refusal)
        )
        job = await jobs.get()
        assert (job.state, job.tried_token_ids, job.attempt_id, job.submit_started_at) == ("queued", [3], None, None)
        assert job.error_code == "upstream_unavailable"

    async def test_of_a_dead_attempt_is_refused_once_it_was_marked(self, jobs: Jobs) -> None:
        await jobs.add(new_job(state=JobState.SUBMITTING, attempt_id="attempt_1", submit_started_at=NOW))
        assert not await jobs.change(
            lambda t: t.give_back("video_1", "attempt_1", tried_token_ids=[], only_unpaid=True)
        )


async def test_progress_never_goes_back(jobs: Jobs) -> None:
    await jobs.add(new_job(state=JobState.IN_PROGRESS, progress_percent=50))
    assert not await jobs.change(lambda t: t.raise_progress("video_1", Stage.GENERATE, 40))
    assert (await jobs.get()).progress_percent == 50


async def test_a_late_submission_is_kept_on_a_cancelled_job(jobs: Jobs) -> None:
    await jobs.add(new_job(state=JobState.CANCELLED))
    assert await jobs.change(lambda t: t.submitted_too_late("video_1", SUBMITTED))
    job = await jobs.get()
    assert (job.state, job.operation_name) == ("cancelled", "op-1")


async def test_the_base_clip_is_put_aside_and_taken_up_again(jobs: Jobs) -> None:
    await jobs.add(new_job(state=JobState.IN_PROGRESS, operation_handle="base"))
    assert await jobs.change(lambda t: t.begin_upscaling("video_1", "result", LATER))
    job = await jobs.get()
    assert (job.state, job.stage, job.operation_handle) == ("upscaling", Stage.UPSCALE, None)
    assert (job.base_operation_handle, job.base_result_handle) == ("base", "result")

    assert await jobs.change(lambda t: t.begin_upscale_attempt("video_1", "attempt_2", b"lease", [60_000, 180_000]))
    assert not await jobs.change(lambda t: t.complete("video_1", Stage.GENERATE, media_id="m", result_handle="{}"))
    assert await jobs.change(lambda t: t.fall_back_to_base_clip("video_1", "smaller", LATER))
    job = await jobs.get()
    assert (job.stage, job.operation_handle, job.note) == (Stage.GENERATE, "base", "smaller")
    assert await jobs.change(lambda t: t.complete("video_1", Stage.GENERATE, media_id="m", result_handle="{}"))


async def test_what_an_enlargement_counts_for_is_added_to_the_clip(jobs: Jobs) -> None:
    def counted(stage: video_events_pb2.VideoStage.ValueType, **counts: int) -> dict[str, Any]:
        tokens = video_events_pb2.CountedTokens(**counts)
        return counted_by(video_events_pb2.VideoEvent(stage=stage, counted_tokens=tokens))

    await jobs.add(new_job(state=JobState.IN_PROGRESS))
    made = counted(video_events_pb2.VIDEO_STAGE_GENERATE, input_tokens=12, output_tokens=46_336)
    assert await jobs.change(lambda t: t.begin_upscaling("video_1", "result", LATER, counted=made))
    enlarged = counted(video_events_pb2.VIDEO_STAGE_UPSCALE, input_tokens=3, output_tokens=10)
    for is_first in (True, False):
        assert await jobs.change(lambda t: t.begin_storing("video_1", Stage.UPSCALE, counted=enlarged)) == is_first
    usage = usage_of(await jobs.get())
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.thought_tokens) == (15, 46_346, 0)


async def test_a_clip_is_found_by_its_bytes_and_its_key(jobs: Jobs, database: Database) -> None:
    digest = b"\x07" * 32
    for video_id, key in (("video_1", "key_1"), ("video_2", "key_1"), ("video_3", "key_2")):
        await jobs.add(new_job(video_id, api_key_id=key, state=JobState.STORING))
        end = partial(JobTransitions.complete, media_id="m", result_handle="{}", clip_sha256=digest)
        assert await jobs.change(lambda t, end=end, video_id=video_id: end(t, video_id, Stage.GENERATE))
    async with database.transaction(read_only=True) as session:
        found = await JobRepository(session).find_by_clip("key_1", digest)
        assert found is not None
        assert found.video_id == "video_2"
        assert await JobRepository(session).find_by_clip("key_3", digest) is None
        assert await JobRepository(session).find_by_clip("key_1", b"\x08" * 32) is None


async def test_a_job_without_counts_has_no_usage(jobs: Jobs) -> None:
    await jobs.add(new_job(state=JobState.IN_PROGRESS))
    uncounted = counted_by(video_events_pb2.VideoEvent(stage=video_events_pb2.VIDEO_STAGE_GENERATE))
    assert await jobs.change(lambda t: t.begin_storing("video_1", Stage.GENERATE, counted=uncounted))
    assert usage_of(await jobs.get()) is None


async def test_every_end_is_in_the_request_log_once(jobs: Jobs, database: Database) -> None:
    await jobs.add(new_job("video_1", state=JobState.STORING))
    await jobs.add(new_job("video_2"))
    await jobs.change(lambda t: t.complete("video_1", Stage.GENERATE, media_id="m", result_handle="{}"))
    await jobs.change(lambda t: t.end("video_2", EXPIRED))
    await jobs.change(lambda t: t.end("video_2", EXPIRED))
    async with database.transaction(read_only=True) as session:
        rows = await RequestLogRepository(session).page(limit=10, after=None)
    assert sorted((row.generation_id, row.operation, row.outcome) for row in rows) == [
        ("video_1", "video", "ok"),
        ("video_2", "video", "EXPIRED"),
    ]


class TestRepository:
    async def test_pages_by_creation_in_both_orders(self, jobs: Jobs, database: Database) -> None:
        for number in range(5):
            await jobs.add(new_job(f"video_{number}", api_key_id="key_2" if number == 2 else "key_1"))
        async with database.transaction(read_only=True) as session:
            repository = JobRepository(session)
            newest = await repository.page(limit=2, api_key_id="key_1")
            older = await repository.page(limit=9, api_key_id="key_1", after_video_id="video_3")
            oldest = await repository.page(limit=2, after_video_id="video_1", oldest_first=True)
        assert [job.video_id for job in newest] == ["video_4", "video_3"]
        assert [job.video_id for job in older] == ["video_1", "video_0"]
        assert [job.video_id for job in oldest] == ["video_2", "video_3"]

    async def test_queue_positions_count_the_queued_jobs_before(self, jobs: Jobs, database: Database) -> None:
        for number, state in enumerate(("queued", "completed", "queued", "queued")):
            await jobs.add(new_job(f"video_{number}", state=state))
        async with database.transaction(read_only=True) as session:
            positions = await JobRepository(session).queue_positions(["video_0", "video_1", "video_3"])
        assert positions == {"video_0": 0, "video_3": 2}

    async def test_a_deleted_job_takes_its_input_images_with_it(self, jobs: Jobs, database: Database) -> None:
        async with database.transaction() as session:
            images = [JobInputImageRow(video_id="video_1", position=0, media_id="m1", role=1)]
            await JobRepository(session).add(new_job(state=JobState.FAILED), images)
        async with database.transaction() as session:
            assert not await JobRepository(session).delete("video_1", states=[JobState.QUEUED])
            assert await JobRepository(session).delete("video_1", states=FINAL_STATES)
        async with database.transaction(read_only=True) as session:
            assert await JobRepository(session).get("video_1") is None
            assert await JobRepository(session).input_images("video_1") == []
