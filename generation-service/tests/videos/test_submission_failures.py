"""What becomes of a job when the upstream refuses it, and of the token that was asked."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from flow2api_common.clock import utc_now
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_testing.waiting import eventually


async def test_another_token_takes_over_what_one_refuses(videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-2")
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.UNAVAILABLE, route="flow.video_*", account="sandbox-st-1"))
    video = await videos.create(prompt="waves")
    done = await videos.until(video.video_id, "completed", timeout=40)
    assert done.placement.token_id == 2
    assert pool.outcome_names == ["UPSTREAM_ERROR", "OK"]
    assert videos.submissions("waves") == 1


async def test_the_last_refusal_is_told_when_no_token_is_left(videos: Any, pool: Any) -> None:
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.FORBIDDEN, route="flow.video_*"))
    video = await videos.create()
    failed = await videos.until(video.video_id, "failed")
    assert failed.error.code == "upstream_forbidden"
    assert pool.outcome_names == ["FORBIDDEN"]


async def test_a_throttled_job_waits_for_its_turn(videos: Any, pool: Any) -> None:
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.THROTTLED, route="flow.video_*", times=2))
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert pool.outcome_names == ["RATE_LIMITED", "RATE_LIMITED", "OK"]


async def test_an_expired_bearer_is_renewed_once(videos: Any, pool: Any) -> None:
    videos.sandbox.world.expire_access_tokens()
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert pool.outcome_names == ["OK"]


@pytest.mark.parametrize(
    ("mark", "state", "code"),
    [
        ("content", "filtered", "content_policy_violation"),
        ("verification", "failed", "upstream_verification_required"),
        ("fail reason=PUBLIC_ERROR_SOMETHING_WENT_WRONG", "failed", "upstream_unavailable"),
        ("fail reason=PUBLIC_ERROR_UNSAFE_GENERATION", "filtered", "content_policy_violation"),
    ],
)
async def test_a_refusal_is_told_in_the_words_of_openai(
    videos: Any, pool: Any, mark: str, state: str, code: str
) -> None:
    video = await videos.create(prompt=f"waves [[fault:{mark}]]")
    ended = await videos.until(video.video_id, state)
    assert ended.error.code == code
    assert ended.error.message
    await eventually(lambda: pool.live_leases == 0)


async def test_a_job_that_no_account_can_ever_serve_fails_after_a_grace(start_videos: Any) -> None:
    async with start_videos(video_no_account_grace=timedelta(seconds=1)) as videos:
        video = await videos.create()
        failed = await videos.until(video.video_id, "failed")
        assert failed.error.code == "no_account_available"


async def test_a_job_that_has_waited_long_outlives_a_moment_without_accounts(start_videos: Any, pool: Any) -> None:
    grace = timedelta(seconds=2)
    await pool.add_flow("sandbox-st-1", limit=0)
    async with start_videos(video_no_account_grace=grace) as videos:
        video = await videos.create(prompt="waves")
        await eventually(lambda: utc_now() > video.create_time.ToDatetime(tzinfo=UTC) + grace)
        accounts, asked = dict(pool.accounts), len(pool.acquired)
        pool.accounts.clear()
        await eventually(lambda: len(pool.acquired) >= asked + 2)
        accounts[1].limit = 1
        pool.accounts.update(accounts)
        await videos.until(video.video_id, "completed")


async def test_a_job_waits_for_a_token_to_come_free(start_videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1", limit=1)
    async with start_videos() as videos:
        ids = [(await videos.create(prompt="waves")).video_id for _ in range(3)]
        for video_id in ids:
            await videos.until(video_id, "completed")
        assert videos.sandbox.world.watches()["sandbox-st-1"].highest.total() == 1
