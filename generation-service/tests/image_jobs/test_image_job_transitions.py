"""The changes of image jobs on both databases: who may make them, and what changes with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from flow2api_common.database import Database
from flow2api_common.errors import UpstreamRejected
from flow2api_generation_service.image_jobs.errors import restored_error, submission_unknown
from flow2api_generation_service.image_jobs.models import ImageJobInputRow, ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.repository import ImageJobRepository, unfinished_image_jobs
from flow2api_generation_service.image_jobs.states import ImageJobState, PictureState
from flow2api_generation_service.image_jobs.transitions import AskedOf, ImageJobTransitions, PictureKey
from flow2api_generation_service.images.charges import IMAGE, PictureCharge
from flow2api_generation_service.input_media import needed_input_media, spent_input_media
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry, Placement
from flow2api_generation_service.ledger.models import LedgerEntryRow
from flow2api_generation_service.ledger.states import Fate
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.webhooks.models import WebhookEventRow
from flow2api_proto.generation.v1 import image_pb2

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
JOB = "image_1"
ACCOUNT = AskedOf(token_id=7, provider="flow", upstream_model="GEM_PIX_2", cost=Cost(5))


class Jobs:
    """One job of two pictures, and the changes of it, each in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[ImageJobTransitions]:
        async with self._database.transaction() as session:
            yield ImageJobTransitions(session, clock=lambda: NOW)

    async def add(self, *, attempt_id: str | None = "worker-1") -> None:
        async with self._database.transaction() as session:
            row = ImageJobRow(
                generation_id=JOB,
                api_key_id="key_1",
                model_id="m",
                served_model_id="m",
                request=b"",
                image_count=2,
                answer_options={},
                is_reserved=True,
                typical_duration_seconds=10,
                state=ImageJobState.QUEUED,
                version=1,
                create_time=NOW,
                deadline_time=NOW + timedelta(hours=1),
                attempt_id=attempt_id,
            )
            pictures = [
                ImageJobPictureRow(generation_id=JOB, image_index=index, state=PictureState.WAITING, credits=0)
                for index in range(2)
            ]
            inputs = [ImageJobInputRow(generation_id=JOB, position=0, media_id="input")]
            await ImageJobRepository(session).add(row, pictures, inputs)
            entries = [NewEntry(JOB, f"picture:{index}", IMAGE, "key_1", "m", Cost(5)) for index in range(2)]
            await LedgerBook(session, clock=lambda: NOW).reserve(entries)

    async def ask(self, index: int, worker: str = "worker-1") -> bool:
        async with self.changing() as change:
            return await change.begin_asking(PictureKey(JOB, index, worker), ACCOUNT)

    async def made(self, index: int, worker: str = "worker-1") -> bool:
        result = image_pb2.GenerateImageResponse(generation_id=JOB, image_index=index)
        result.image.media.media_id = f"file-{index}"
        async with self.changing() as change:
            return await change.made(PictureKey(JOB, index, worker), result, file(f"file-{index}"), charge(index))

    async def job(self) -> tuple[str, list[str]]:
        """Where the job stands, and its pictures."""
        async with self._database.transaction(read_only=True) as session:
            repository = ImageJobRepository(session)
            job = await repository.get(JOB)
            assert job is not None
            return job.state, [each.state for each in (await repository.pictures([JOB]))[JOB]]

    async def ledger(self) -> dict[str, tuple[str, int]]:
        async with self._database.transaction(read_only=True) as session:
            rows = (await session.scalars(select(LedgerEntryRow))).all()
            return {row.line: (row.state, row.credits) for row in rows}

    async def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What receivers will be told: the types of events, and what they are about."""
        async with self._database.transaction(read_only=True) as session:
            rows = (await session.scalars(select(WebhookEventRow))).all()
            return [(row.event_type, json.loads(row.payload)["data"]) for row in rows]

    async def logged(self) -> list[tuple[str, int]]:
        async with self._database.transaction(read_only=True) as session:
            rows = (await session.scalars(select(RequestLogRow))).all()
            return [(row.outcome, row.output_count) for row in rows]


def file(media_id: str, **fields: Any) -> MediaRow:
    return MediaRow(
        media_id=media_id,
        object_key=f"media/{media_id}",
        content_type="image/png",
        size_bytes=1,
        width=1,
        height=1,
        duration_ms=0,
        create_time=NOW,
        expire_time=NOW + timedelta(days=1),
        api_key_id="key_1",
        **({"generation_id": JOB, "provider": "flow"} | fields),
    )


def charge(index: int, fate: Fate = Fate.KEPT) -> PictureCharge:
    return PictureCharge(
        index=index,
        api_key_id="key_1",
        model_id="m",
        cost=Cost(5),
        fate=fate,
        reason="completed" if fate is Fate.KEPT else "refused",
        placement=Placement(token_id=7),
        output_count=int(fate is Fate.KEPT),
    )


@pytest.fixture
def jobs(database: Database) -> Jobs:
    return Jobs(database)


async def test_picture_is_asked_for_by_one_worker_alone(jobs: Jobs) -> None:
    await jobs.add()
    assert not await jobs.ask(0, "worker-2")
    assert await jobs.ask(0)
    assert not await jobs.ask(0)
    assert await jobs.job() == ("in_progress", ["asked", "waiting"])


async def test_last_picture_ends_the_job_with_its_log_and_its_charges(jobs: Jobs) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    assert await jobs.ask(1)
    assert await jobs.made(0)
    assert await jobs.logged() == []
    async with jobs.changing() as change:
        refusal = UpstreamRejected("no", reason="CONTENT_REJECTED")
        await change.failed(PictureKey(JOB, 1, "worker-1"), refusal, charge(1, Fate.GIVEN_BACK))
    assert await jobs.job() == ("completed", ["made", "failed"])
    assert await jobs.ledger() == {"picture:0": ("settled", 5), "picture:1": ("released", 0)}
    assert await jobs.logged() == [("ok", 1)]
    assert await jobs.told() == [("image_job.completed", {"id": JOB})]


async def test_result_whose_commit_was_not_heard_of_is_recorded_once(jobs: Jobs) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    assert await jobs.made(0)
    assert await jobs.made(0)
    assert (await jobs.ledger())["picture:0"] == ("settled", 5)


async def test_refused_call_goes_back_and_is_dropped_when_the_job_was_cancelled_meanwhile(jobs: Jobs) -> None:
    await jobs.add()
    for index in (0, 1):
        assert await jobs.ask(index)
    async with jobs.changing() as change:
        await change.take_back(PictureKey(JOB, 0, "worker-1"))
    assert await jobs.job() == ("in_progress", ["waiting", "asked"])
    async with jobs.changing() as change:
        assert await change.cancel(JOB) is not None
        assert await change.cancel(JOB) is None
    async with jobs.changing() as change:
        await change.take_back(PictureKey(JOB, 1, "worker-1"))
    assert await jobs.job() == ("cancelled", ["cancelled", "cancelled"])
    assert set((await jobs.ledger()).values()) == {("released", 0)}
    assert await jobs.logged() == [("CANCELLED", 0)]


async def test_cancelled_job_is_asked_for_nothing_and_keeps_what_comes(jobs: Jobs) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    async with jobs.changing() as change:
        await change.cancel(JOB)
    assert not await jobs.ask(1)
    assert await jobs.made(0)
    assert await jobs.job() == ("cancelled", ["made", "cancelled"])
    assert await jobs.ledger() == {"picture:0": ("settled", 5), "picture:1": ("released", 0)}
    assert await jobs.told() == [("image_job.failed", {"id": JOB, "error": {"code": "cancelled", "message": ""}})]


async def test_what_a_dead_worker_has_asked_for_is_unknown_and_in_dispute(jobs: Jobs) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    async with jobs.changing() as change:
        assert await change.lost(JOB, submission_unknown(), asked_by_others_than="worker-2") == 1
    assert await jobs.job() == ("in_progress", ["failed", "waiting"])
    assert (await jobs.ledger())["picture:0"] == ("disputed", 5)
    # The worker was not dead after all.
    assert not await jobs.made(0)
    assert (await jobs.ledger())["picture:0"] == ("settled", 5)


async def test_asked_for_again_by_setting_disputes_the_lost_try(jobs: Jobs) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    async with jobs.changing() as change:
        await change.ask_again(JOB, asked_by_others_than="worker-2")
    assert await jobs.job() == ("in_progress", ["waiting", "waiting"])
    assert await jobs.ledger() == {
        "picture:0": ("reserved", 5),
        "picture:0:worker-1": ("disputed", 5),
        "picture:1": ("reserved", 5),
    }


async def test_job_fails_with_the_error_of_its_first_picture(jobs: Jobs, database: Database) -> None:
    await jobs.add()
    async with jobs.changing() as change:
        assert await change.fail_waiting(JOB, UpstreamRejected("no", reason="CONTENT_REJECTED")) == 2
    assert await jobs.job() == ("failed", ["failed", "failed"])
    assert await jobs.logged() == [("CONTENT_REJECTED", 0)]
    async with database.transaction(read_only=True) as session:
        job = await ImageJobRepository(session).get(JOB)
    assert job is not None
    assert job.error is not None
    error = restored_error(job.error)
    assert (type(error), error.reason, error.message) == (UpstreamRejected, "CONTENT_REJECTED", "no")
    ((event_type, subject),) = await jobs.told()
    assert (event_type, subject["error"]["code"]) == ("image_job.failed", "content_policy_violation")


async def test_charge_of_a_picture_whose_job_was_deleted_is_kept(jobs: Jobs, database: Database) -> None:
    await jobs.add()
    assert await jobs.ask(0)
    async with jobs.changing() as change:
        await change.cancel(JOB)
    async with database.transaction() as session:
        assert await ImageJobRepository(session).delete(JOB)
    assert not await jobs.made(0)
    assert (await jobs.ledger())["picture:0"] == ("settled", 5)


async def test_claim_is_one_workers_until_it_ends(jobs: Jobs, database: Database) -> None:
    await jobs.add(attempt_id=None)
    until = NOW + timedelta(seconds=30)

    async def claim(worker: str, now: datetime) -> bool:
        async with database.transaction() as session:
            return await ImageJobRepository(session).claim(JOB, worker, now=now, until=until)

    async def keep(worker: str, until: datetime | None) -> bool:
        async with database.transaction() as session:
            return await ImageJobRepository(session).keep_claim(JOB, worker, until=until)

    assert await claim("worker-1", NOW)
    assert not await claim("worker-2", NOW + timedelta(seconds=29))
    assert await claim("worker-2", until)
    assert not await keep("worker-1", None)
    assert await keep("worker-2", None)
    assert await claim("worker-3", NOW)


async def test_input_is_needed_until_the_job_has_ended(jobs: Jobs, database: Database) -> None:
    await jobs.add()

    async def standing(look: Callable[..., Any]) -> Any:
        async with database.transaction() as session:
            return await look(session)

    async def needed(session: Any) -> list[str]:
        return list(await session.scalars(needed_input_media()))

    async def spent(session: Any) -> list[str]:
        return list(await spent_input_media(session, now=NOW, limit=10))

    async def store(session: Any) -> None:
        await MediaRepository(session).add(file("input"))

    await standing(store)
    assert (await standing(needed), await standing(spent)) == (["input"], [])
    async with jobs.changing() as change:
        await change.cancel(JOB)
    assert (await standing(needed), await standing(spent)) == ([], ["input"])


async def test_abandoned_and_old_jobs_are_found(jobs: Jobs, database: Database) -> None:
    await jobs.add()
    late = NOW + timedelta(hours=2)
    async with database.transaction() as session:
        repository = ImageJobRepository(session)
        assert await repository.abandoned(NOW, limit=10) == []
        assert await repository.abandoned(late, limit=10) == [JOB]
        assert await unfinished_image_jobs(session, {JOB, "image_2"}) == {JOB}
    async with jobs.changing() as change:
        await change.cancel(JOB)
    async with database.transaction() as session:
        repository = ImageJobRepository(session)
        assert await repository.abandoned(late, limit=10) == []
        assert await repository.delete_ended_before(NOW - timedelta(seconds=1), limit=10) == 0
        assert await repository.delete_ended_before(late, limit=10) == 1
        assert await repository.pictures([JOB]) == {JOB: []}
