"""A worker that dies at any point: the job goes on or ends with a reason, and is never submitted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_generation_service.videos.hand_in import HandIn
from flow2api_generation_service.videos.submission import Submissions
from flow2api_generation_service.videos.submit_generate import GenerateStage
from flow2api_generation_service.videos.transitions import JobTransitions
from flow2api_proto.generation.v1 import video_pb2
from flow2api_sandbox.faults import Fault, FaultKind
from flow2api_testing.waiting import eventually


class WorkerDied(Exception):
    """Stands for a process that ends here: nothing after this point happens."""


@pytest.fixture
def die_once(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the first call of a method end its worker, before or after the method has done its work."""

    def arrange(owner: type, method: str, *, after: bool = False) -> None:
        original = getattr(owner, method)
        deaths: list[int] = []

        async def dying(self: Any, *args: Any, **kwargs: Any) -> Any:
            if deaths:
                return await original(self, *args, **kwargs)
            deaths.append(1)
            if after:
                await original(self, *args, **kwargs)
            raise WorkerDied

        monkeypatch.setattr(owner, method, dying)

    return arrange


@pytest.fixture
def lose_answer_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the database go away right after the first commit of one kind of change, before it has said so."""

    def arrange(method: str) -> None:
        change, transaction = getattr(JobTransitions, method), Database.transaction
        losing: set[AsyncSession] = set()
        lost: list[int] = []

        async def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not lost:
                lost.append(1)
                losing.add(self._session)
            return await change(self, *args, **kwargs)

        @asynccontextmanager
        async def losing_transaction(self: Database, *, read_only: bool = False) -> AsyncIterator[AsyncSession]:
            async with transaction(self, read_only=read_only) as session:
                yield session
            if session in losing:
                losing.clear()
                raise DependencyUnavailable("the database is away")

        monkeypatch.setattr(JobTransitions, method, noted)
        monkeypatch.setattr(Database, "transaction", losing_transaction)

    return arrange


@pytest.mark.parametrize(
    ("owner", "method", "after"),
    [
        (JobTransitions, "begin_attempt", False),
        (HandIn, "run", False),
        (Submissions, "_mark", False),
    ],
    ids=["with a lease", "as the owner", "before the mark"],
)
async def test_a_death_before_the_mark_is_made_good(
    videos: Any, pool: Any, die_once: Callable[..., None], owner: type, method: str, after: bool
) -> None:
    die_once(owner, method, after=after)
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert videos.submissions("waves") == 1


@pytest.mark.parametrize(
    ("method", "after", "submissions"),
    [("_mark", True, 0), ("_submit", False, 0), ("_record", False, 1)],
    ids=["after the mark", "before the call", "after the call"],
)
async def test_a_death_after_the_mark_ends_the_job_unknown(
    videos: Any, die_once: Callable[..., None], method: str, after: bool, submissions: int
) -> None:
    die_once(Submissions, method, after=after)
    video = await videos.create(prompt="waves")
    failed = await videos.until(video.video_id, "failed")
    assert failed.error.code == "submission_unknown"
    assert videos.submissions("waves") == submissions


async def test_an_unknown_submission_is_repeated_when_the_operator_says_so(
    start_videos: Any, pool: Any, die_once: Callable[..., None]
) -> None:
    await pool.add_flow("sandbox-st-1")
    die_once(Submissions, "_record")
    async with start_videos(video_resubmit_unknown=True) as videos:
        video = await videos.create(prompt="waves")
        await videos.until(video.video_id, "completed")
        assert videos.submissions("waves") == 2


async def test_a_lost_answer_ends_the_job_unknown(videos: Any) -> None:
    prompt = "waves [[fault:lost_answer]]"
    video = await videos.create(prompt=prompt)
    failed = await videos.until(video.video_id, "failed")
    assert failed.error.code == "submission_unknown"
    assert videos.submissions(prompt) == 1


async def test_stopping_during_the_call_keeps_its_answer(start_videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1")
    async with start_videos(poller=False) as videos:
        videos.sandbox.world.faults.add(Fault(kind=FaultKind.DELAY, route="flow.video_*", delay=1))
        video = await videos.create(prompt="waves")
        await eventually(lambda: videos.submissions("waves") == 1)
    videos.sandbox.world.faults.clear()
    async with start_videos() as videos:
        await videos.until(video.video_id, "completed")
        assert videos.submissions("waves") == 1


async def test_stopping_at_the_mark_does_not_make_the_answer_unknown(
    start_videos: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.add_flow("sandbox-st-1")
    marked, may_go_on = asyncio.Event(), asyncio.Event()
    original = Submissions._mark

    async def mark_and_wait(self: Any, ticket: Any) -> None:
        await original(self, ticket)
        marked.set()
        await may_go_on.wait()

    monkeypatch.setattr(Submissions, "_mark", mark_and_wait)
    async with start_videos(poller=False) as videos:
        video = await videos.create(prompt="waves")
        await marked.wait()
        # The stop comes first.
        asyncio.get_running_loop().call_later(0.5, may_go_on.set)
    async with start_videos() as videos:
        await videos.until(video.video_id, "completed")
        assert videos.submissions("waves") == 1


async def test_a_death_after_a_refusal_is_made_good(videos: Any, pool: Any, die_once: Callable[..., None]) -> None:
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.THROTTLED, route="flow.video_*", times=1))
    die_once(GenerateStage, "_refused")
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert videos.submissions("waves") == 1


@pytest.mark.parametrize("change", ["begin_attempt", "mark_paid_call", "unmark_paid_call", "give_back", "submitted"])
async def test_a_commit_whose_answer_is_lost_loses_no_job(
    videos: Any, lose_answer_of: Callable[[str], None], change: str
) -> None:
    videos.sandbox.world.faults.add(Fault(kind=FaultKind.THROTTLED, route="flow.video_*", times=1))
    lose_answer_of(change)
    video = await videos.create(prompt="waves")
    await videos.until(video.video_id, "completed")
    assert videos.submissions("waves") == 1


async def test_many_videos_survive_a_restart_of_everything(start_videos: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1", limit=4)
    prompts = [f"waves {number}" for number in range(12)]
    async with start_videos() as videos:
        created = [await videos.create(prompt=prompt) for prompt in prompts]
        await videos.until(created[0].video_id, "in_progress", "storing", "completed")
    async with start_videos() as videos:
        done = await asyncio.gather(*(videos.until(each.video_id, "completed", timeout=40) for each in created))
        assert all(each.state == video_pb2.VIDEO_STATE_COMPLETED for each in done)
        assert [videos.submissions(prompt) for prompt in prompts] == [1] * len(prompts)
        await eventually(lambda: pool.live_leases == 0)
