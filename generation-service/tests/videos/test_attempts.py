"""What is kept of where a job was tried, what came of it, and what followed."""

from __future__ import annotations

from typing import Any

from flow2api_common.clock import utc_now
from flow2api_common.database import Database
from flow2api_generation_service.attempts.outcomes import ACCEPTED, AttemptResult, NextStepAfter
from flow2api_generation_service.attempts.past import NewAttempt, PastAttempts
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_proto.generation.v1 import attempt_pb2
from flow2api_sandbox.faults import Fault, FaultKind


async def attempts(videos: Any, generation_id: str) -> list[tuple[int, str, str]]:
    """Token, outcome and what followed of each."""
    request = attempt_pb2.ListAttemptsRequest(generation_id=generation_id)
    answer = await videos.stub.ListAttempts(request, timeout=30)
    return [(each.token_id, each.outcome, each.next_step) for each in answer.attempts]


async def test_each_account_that_was_asked_is_kept_in_order(videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-2")
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.UNAVAILABLE, route="flow.video_*", account="sandbox-st-1"))
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed", timeout=40)
    assert await attempts(videos, video.video_id) == [
        (1, "upstream", "same_account"),
        (1, "upstream", "same_account"),
        (1, "upstream", "other_account"),
        (2, "accepted", ""),
    ]


async def test_full_account_gives_way_to_whichever_has_room(videos: Any) -> None:
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.THROTTLED, route="flow.video_*", times=1))
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert await attempts(videos, video.video_id) == [(1, "throttled", "room_elsewhere"), (1, "accepted", "")]


async def test_failure_that_names_a_long_pause_is_not_repeated_before_it(videos: Any) -> None:
    fault = Fault(kind=FaultKind.UNAVAILABLE, route="flow.video_*", times=1, retry_after=60)
    videos.sandbox.world.faults.add(fault)
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert await attempts(videos, video.video_id) == [(1, "upstream", "room_elsewhere"), (1, "accepted", "")]


async def test_refusal_that_nobody_can_help_ends_it(videos: Any) -> None:
    video = await videos.create(prompt="waves [[fault:content]]")
    await videos.until(video.video_id, "filtered")
    assert await attempts(videos, video.video_id) == [(1, "content", "end")]


async def test_lost_answer_is_told_as_that(videos: Any) -> None:
    video = await videos.create(prompt="waves [[fault:lost_answer]]")
    await videos.until(video.video_id, "failed")
    assert await attempts(videos, video.video_id) == [(1, "unanswered", "end")]


async def test_enlargement_is_an_attempt_of_its_own(videos: Any) -> None:
    video = await videos.create(prompt="waves", model_id="veo_3_1_t2v_fast_1080p")
    await videos.until(video.video_id, "completed", timeout=40)
    answer = await videos.stub.ListAttempts(attempt_pb2.ListAttemptsRequest(generation_id=video.video_id), timeout=30)
    assert [(each.line, each.outcome) for each in answer.attempts] == [("generate", ACCEPTED), ("upscale", ACCEPTED)]


async def test_try_that_was_given_up_is_accepted_when_the_upstream_says_so_late(database: Database) -> None:
    now = utc_now()
    where = NewAttempt("a1", "video_1", "generate", "vertex", "veo", 7, "us-central1", ("flow/veo_fast",))
    async with database.transaction() as session:
        repository = AttemptRepository(session)
        await repository.begin(where, now=now)
        await repository.again("a1", AttemptResult("upstream", "x" * 300, NextStepAfter.SAME_ACCOUNT), now=now)
        await repository.end_all("video_1", AttemptResult("cancelled", next_step=NextStepAfter.END), now=now)
        await repository.accepted("a1", now=now)
    async with database.transaction(read_only=True) as session:
        first, second = await AttemptRepository(session).of_generation("video_1")
    assert (first.try_number, first.outcome, len(first.reason)) == (1, "upstream", 200)
    assert (second.try_number, second.outcome, second.location) == (2, ACCEPTED, "us-central1")
    assert second.passed_by == ["flow/veo_fast"]
    async with database.transaction() as session:
        await AttemptRepository(session).delete_before(utc_now())
        assert not await AttemptRepository(session).of_generation("video_1")


async def test_attempts_that_are_written_twice_are_kept_once(database: Database) -> None:
    past = PastAttempts(generation_id="picture_1", line="picture:0")
    past.begin(provider="flow", upstream_model="nano", token_id=3, location="", passed=())
    past.again(AttemptResult("network", next_step=NextStepAfter.SAME_ACCOUNT))
    written = past.take()
    for _ in range(2):
        async with database.transaction() as session:
            await AttemptRepository(session).add_past(written, now=utc_now())
    async with database.transaction(read_only=True) as session:
        rows = await AttemptRepository(session).of_generation("picture_1")
    assert [(row.try_number, row.outcome) for row in rows] == [(1, "network"), (2, "abandoned")]
    assert past.take() == []
