"""A worker that dies, or a database that goes, at any point: no picture is asked for twice, and none is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flow2api_common.errors import DependencyUnavailable
from flow2api_generation_service.image_jobs.pictures_at_work import PicturesAtWork
from flow2api_generation_service.image_jobs.transitions import AskedOf, ImageJobTransitions, PictureKey
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_proto.generation.v1 import image_job_pb2
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.waiting import eventually


class WorkerDied(Exception):
    """Stands for a process that ends here: nothing after this point happens."""


@pytest.fixture
def die_after_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of the first picture dies when it has said that the upstream is asked."""
    original, deaths = PicturesAtWork.make, list[int]()

    async def dying(self: Any, image_index: int) -> None:
        if image_index or deaths:
            await original(self, image_index)
            return
        deaths.append(1)
        key = PictureKey(self._job.generation_id, image_index, self._attempt_id)
        async with self._database.transaction() as session:
            where = AskedOf(1, "flow", "GEM_PIX_2", Cost())
            assert await ImageJobTransitions(session, clock=self._clock).begin_asking(key, where)
        raise WorkerDied

    monkeypatch.setattr(PicturesAtWork, "make", dying)


@pytest.mark.usefixtures("die_after_asking")
async def test_picture_whose_answer_died_with_its_worker_is_not_asked_for_again(jobs: Any) -> None:
    job = await jobs.until((await jobs.create(image_count=2)).job.generation_id, "completed")
    kinds = {event.image_index: event.WhichOneof("event") for event in job.results}
    assert kinds == {0: "failure", 1: "image"}
    assert job.results[0].failure.reason == "SUBMISSION_UNKNOWN"
    assert jobs.submissions() == 1


@pytest.mark.usefixtures("die_after_asking")
async def test_the_setting_lets_it_be_asked_for_again(start_jobs: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1")
    async with start_jobs(video_resubmit_unknown=True) as jobs:
        job = await jobs.until((await jobs.create(image_count=2)).job.generation_id, "completed")
        assert len([event for event in job.results if event.HasField("image")]) == 2


async def test_a_restart_makes_what_waited_and_ends_what_was_broken_off(
    start_jobs: Any, pool: Any, sandbox: RunningSandbox
) -> None:
    pool_token = await pool.add_flow("sandbox-st-1", limit=1)
    sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=30, times=1))
    async with start_jobs(shutdown_grace=timedelta(seconds=0.2)) as first:
        job = (await first.create(image_count=2)).job
        await first.until(job.generation_id, "in_progress")
    pool.accounts[pool_token].limit = 100
    async with start_jobs() as second:
        ended = await second.until(job.generation_id, "completed")
    assert sorted(event.WhichOneof("event") for event in ended.results) == ["failure", "image"]
    assert second.submissions() <= 2


async def test_paid_picture_is_recorded_once_the_database_is_back(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made, failures = ImageJobTransitions.made, list[int]()

    async def away_at_first(self: Any, *args: Any) -> bool:
        done = await made(self, *args)
        if len(failures) < 2:
            failures.append(1)
            raise DependencyUnavailable("the database is away")
        return done

    monkeypatch.setattr(ImageJobTransitions, "made", away_at_first)
    job = await jobs.until((await jobs.create()).job.generation_id, "completed")
    assert len(job.results) == 1
    assert jobs.submissions() == 1


async def test_mark_whose_commit_is_not_heard_of_is_taken_back(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, losses = ImageJobTransitions.begin_asking, list[int]()

    async def lost_once(self: Any, *args: Any) -> bool:
        done = await begin(self, *args)
        if not losses:
            losses.append(1)
            await self._session.commit()
            raise DependencyUnavailable("the database is away")
        return done

    monkeypatch.setattr(ImageJobTransitions, "begin_asking", lost_once)
    job = await jobs.until((await jobs.create()).job.generation_id, "completed")
    assert len(job.results) == 1
    assert jobs.submissions() == 1


async def test_two_replicas_make_one_picture(start_jobs: Any, pool: Any) -> None:
    await pool.add_flow("sandbox-st-1")
    async with start_jobs() as one, start_jobs() as other:
        created = await asyncio.gather(*(one.create(prompt=f"p{number}") for number in range(4)))
        for answer in created:
            job = await other.until(answer.job.generation_id, "completed")
            assert job.state == image_job_pb2.IMAGE_JOB_STATE_COMPLETED
        await eventually(lambda: pool.live_leases == 0)
        assert [one.submissions(f"p{number}") for number in range(4)] == [1] * 4
