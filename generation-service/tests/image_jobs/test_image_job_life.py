"""The life of an image job: accepted, made, read, stopped, removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flow2api_common.errors import CapacityError, PermissionDenied
from flow2api_generation_service.image_jobs.run import ImageJobRuns
from flow2api_proto.generation.v1 import (
    attempt_pb2,
    generation_service_pb2,
    image_job_pb2,
    image_pb2,
    ledger_pb2,
    media_pb2,
)
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.waiting import eventually


async def reason_of_refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(raised.value)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return str(info.reason)


def files_in(media_url: str) -> set[str]:
    """The stored files, by their place in the store."""
    stored = Path(media_url.removeprefix("file://"))
    return {str(each.relative_to(stored)) for each in stored.rglob("*") if each.is_file()}


async def logged(jobs: Any) -> list[generation_service_pb2.RequestLog]:
    answer = await jobs.stub.ListRequestLogs(generation_service_pb2.ListRequestLogsRequest())
    return list(answer.request_logs)


async def ledger(jobs: Any) -> list[ledger_pb2.LedgerEntry]:
    answer = await jobs.stub.ListLedgerEntries(ledger_pb2.ListLedgerEntriesRequest())
    return list(answer.entries)


class TestMaking:
    async def test_job_is_accepted_made_and_logged(self, jobs: Any, pool: Any) -> None:
        accepted = await jobs.create(image_count=2)
        assert accepted.job.state in (
            image_job_pb2.IMAGE_JOB_STATE_QUEUED,
            image_job_pb2.IMAGE_JOB_STATE_IN_PROGRESS,
        )
        job = await jobs.until(accepted.job.generation_id, "completed")
        assert [event.image_index for event in job.results if event.image.media.media_id] == [0, 1]
        assert len({event.image.seed for event in job.results}) == 2
        assert job.progress_percent == 100
        assert dict(job.answer_options) == {"response_format": "url"}
        assert jobs.submissions() == 2
        (entry,) = await logged(jobs)
        assert (entry.generation_id, entry.operation, entry.outcome) == (job.generation_id, "image", "ok")
        assert {each.line for each in await ledger(jobs)} == {"picture:0", "picture:1"}
        await eventually(lambda: pool.live_leases == 0)

    async def test_input_pictures_wait_in_the_store_and_go_after_it(
        self, start_jobs: Any, pool: Any, picture: Callable[..., bytes], media_url: str
    ) -> None:
        token_id = await pool.add_flow("sandbox-st-1", limit=0)
        async with start_jobs(cleanup_interval=timedelta(milliseconds=100)) as jobs:
            accepted = await jobs.create(input_images=[media_pb2.InputImage(data=picture((90, 120)))])
            assert len(files_in(media_url)) == 1
            pool.accounts[token_id].limit = 1
            job = await jobs.until(accepted.job.generation_id, "completed")
            media = job.results[0].image.media
            # The ratio is that of the first reference.
            assert (media.width, media.height) == (896, 1200)
            await eventually(lambda: files_in(media_url) == {media.object_key})

    async def test_failed_pictures_are_told_beside_those_that_were_made(
        self, jobs: Any, sandbox: RunningSandbox
    ) -> None:
        sandbox.world.faults.add(Fault(kind="content", route="flow.images", times=1))
        accepted = await jobs.create(image_count=3)
        job = await jobs.until(accepted.job.generation_id, "completed")
        assert [event.WhichOneof("event") for event in job.results].count("image") == 2
        (failure,) = [event.failure for event in job.results if event.HasField("failure")]
        assert failure.reason == "CONTENT_REJECTED"

    async def test_job_without_any_picture_has_the_error_that_a_waiting_client_gets(
        self, jobs: Any, sandbox: RunningSandbox
    ) -> None:
        sandbox.world.faults.add(Fault(kind="content", route="flow.images"))
        job = await jobs.until((await jobs.create()).job.generation_id, "failed")
        assert (job.error.error_class, job.error.reason) == ("UpstreamRejected", "CONTENT_REJECTED")
        (entry,) = await logged(jobs)
        assert entry.outcome == "CONTENT_REJECTED"

    async def test_refused_call_is_made_again_elsewhere(self, jobs: Any, pool: Any, sandbox: RunningSandbox) -> None:
        await pool.add_flow("sandbox-st-2")
        sandbox.world.faults.add(Fault(kind="429", route="flow.images", account="sandbox-st-1"))
        job = await jobs.until((await jobs.create()).job.generation_id, "completed")
        assert jobs.submissions() == 1
        assert len(job.results) == 1
        request = attempt_pb2.ListAttemptsRequest(generation_id=job.generation_id)
        attempts = (await jobs.stub.ListAttempts(request)).attempts
        assert [(each.outcome, each.next_step) for each in attempts] == [
            ("throttled", "other_account"),
            ("accepted", ""),
        ]

    async def test_paid_answer_that_is_lost_is_not_asked_for_again(
        self, start_jobs: Any, pool: Any, sandbox: RunningSandbox
    ) -> None:
        pool.add_gemini("sandbox-key-1")
        sandbox.world.faults.add(Fault(kind="lost_answer", route="gemini.*"))
        async with start_jobs() as jobs:
            job = await jobs.until((await jobs.create()).job.generation_id, "failed")
            assert job.error.metadata["paid"] == "true"
            assert [used for _, _, used in sandbox.world.faults.in_force()] == [1]


class TestWaiting:
    async def test_waits_for_an_account_longer_than_a_client_does(self, start_jobs: Any, pool: Any) -> None:
        token_id = await pool.add_flow("sandbox-st-1", limit=0)
        waits = {"image_token_wait": timedelta(seconds=0.05), "video_lease_wait": timedelta(seconds=10)}
        async with start_jobs(**waits) as jobs:
            accepted = await jobs.create()
            await eventually(lambda: pool.waiting == 1)
            assert pool.acquired[-1].wait_timeout.ToTimedelta() > timedelta(seconds=1)
            assert (await jobs.get(accepted.job.generation_id)).state == image_job_pb2.IMAGE_JOB_STATE_QUEUED
            pool.accounts[token_id].limit = 1
            async with pool._changed:
                pool._changed.notify_all()
            await jobs.until(accepted.job.generation_id, "completed")

    async def test_ends_when_no_account_came_free_in_time(self, start_jobs: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1", limit=0)
        async with start_jobs(image_job_queue_timeout=timedelta(seconds=0.5)) as jobs:
            job = await jobs.until((await jobs.create()).job.generation_id, "failed")
            assert job.error.reason == "EXPIRED"

    async def test_ends_soon_when_no_account_ever_could(self, start_jobs: Any, pool: Any) -> None:
        async with start_jobs() as jobs:
            job = await jobs.until((await jobs.create()).job.generation_id, "failed")
            assert job.error.reason == "NO_ELIGIBLE_TOKEN"

    async def test_swept_when_its_message_is_lost(
        self, start_jobs: Any, pool: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def lose(_: ImageJobRuns, delivery: Any) -> None:
            await delivery.ack()

        monkeypatch.setattr(ImageJobRuns, "handle", lose)
        async with start_jobs(image_job_queue_timeout=timedelta(seconds=0.5)) as jobs:
            job = await jobs.until((await jobs.create()).job.generation_id, "failed")
            assert job.error.reason == "EXPIRED"


class TestAccepting:
    async def test_refused_key_gets_no_job(self, jobs: Any, access: Any) -> None:
        access.refusal = PermissionDenied("no", reason="MODEL_NOT_ALLOWED")
        assert await reason_of_refusal(jobs.create(request_id="order-1")) == "MODEL_NOT_ALLOWED"
        access.refusal = CapacityError("later", reason="REQUESTS_PER_MINUTE")
        assert await reason_of_refusal(jobs.create(request_id="order-1")) == "REQUESTS_PER_MINUTE"
        access.refusal = None
        # Nothing was left behind that a repeat would find.
        assert not (await jobs.create(request_id="order-1")).replayed

    @pytest.mark.parametrize("fields", [{"prompt": " "}, {"image_count": 11}, {"model_id": "omni"}])
    async def test_wrong_request_is_refused_at_once(self, jobs: Any, fields: dict[str, Any]) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await jobs.create(**fields)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    async def test_repeat_with_the_same_key_finds_the_job(self, jobs: Any, access: Any) -> None:
        first, second = await asyncio.gather(jobs.create(request_id="order-1"), jobs.create(request_id="order-1"))
        assert first.job.generation_id == second.job.generation_id
        await jobs.until(first.job.generation_id, "completed")
        third = await jobs.create(request_id="order-1")
        assert (third.job.generation_id, third.replayed) == (first.job.generation_id, True)
        assert jobs.submissions() == 1
        assert await reason_of_refusal(jobs.create(request_id="order-1", prompt="b")) == "IDEMPOTENCY_CONFLICT"

    async def test_client_that_waits_for_the_same_request_joins_the_job(self, jobs: Any, pool: Any) -> None:
        job = (await jobs.create(request_id="order-1")).job
        request = image_pb2.GenerateImageRequest(
            model_id="gemini-3.1-flash-image", prompt="a lighthouse", api_key_id="key_1", request_id="order-1"
        )
        events = [event async for event in jobs.stub.GenerateImage(request, timeout=30)]
        done = await jobs.until(job.generation_id, "completed")
        assert [event.image.media.media_id for event in events] == [done.results[0].image.media.media_id]
        assert jobs.submissions() == 1

    async def test_pictures_of_a_client_that_waited_are_found_by_one_that_does_not(self, jobs: Any) -> None:
        request = image_pb2.GenerateImageRequest(
            model_id="gemini-3.1-flash-image",
            prompt="a lighthouse",
            api_key_id="key_1",
            request_id="order-1",
            image_count=2,
        )
        events = [event async for event in jobs.stub.GenerateImage(request, timeout=30)]
        made = {event.image.media.media_id for event in events if event.HasField("image")}
        answer = await jobs.create(request_id="order-1", image_count=2)
        assert answer.replayed
        assert answer.job.state == image_job_pb2.IMAGE_JOB_STATE_COMPLETED
        assert {event.image.media.media_id for event in answer.job.results} == made
        assert jobs.submissions() == 2
        assert (await jobs.create(request_id="order-1", image_count=2)).job.generation_id == answer.job.generation_id


class TestEnding:
    async def test_cancelled_before_the_upstream_is_asked_costs_nothing(self, start_jobs: Any, pool: Any) -> None:
        token_id = await pool.add_flow("sandbox-st-1", limit=0)
        async with start_jobs() as jobs:
            job = (await jobs.create(image_count=2)).job
            answer = await jobs.cancel(job.generation_id)
            assert answer.charge == image_job_pb2.IMAGE_JOB_CHARGE_NONE
            assert answer.job.state == image_job_pb2.IMAGE_JOB_STATE_CANCELLED
            pool.accounts[token_id].limit = 1
            await eventually(lambda: pool.waiting == 0)
            assert await reason_of_refusal(jobs.cancel(job.generation_id)) == "IMAGE_JOB_ALREADY_FINAL"
            assert jobs.submissions() == 0
            (entry,) = await logged(jobs)
            assert entry.outcome == "CANCELLED"
            assert {each.state for each in await ledger(jobs)} == {ledger_pb2.LEDGER_STATE_RELEASED}

    async def test_cancelled_later_keeps_what_is_paid_for(self, jobs: Any, pool: Any, sandbox: RunningSandbox) -> None:
        pool.accounts[1].limit = 1
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=1))
        job = (await jobs.create(image_count=2)).job
        await jobs.until(job.generation_id, "in_progress")
        answer = await jobs.cancel(job.generation_id)
        assert answer.charge == image_job_pb2.IMAGE_JOB_CHARGE_CHARGED

        async def paid_picture() -> image_job_pb2.ImageJob:
            read = await jobs.get(job.generation_id)
            assert len(read.results) == 1
            return read

        assert (await eventually(paid_picture)).state == image_job_pb2.IMAGE_JOB_STATE_CANCELLED
        assert jobs.submissions() == 1

    async def test_deleted_job_takes_its_pictures_along(self, jobs: Any, media_url: str) -> None:
        job = await jobs.until((await jobs.create()).job.generation_id, "completed")
        await jobs.delete(job.generation_id)
        assert await reason_of_refusal(jobs.get(job.generation_id)) == "IMAGE_JOB_NOT_FOUND"
        assert not files_in(media_url)

    async def test_deleted_while_the_upstream_works_leaves_no_file_and_a_charge(
        self, jobs: Any, sandbox: RunningSandbox, media_url: str
    ) -> None:
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=0.7))
        job = (await jobs.create()).job
        await jobs.until(job.generation_id, "in_progress")
        await jobs.delete(job.generation_id)

        async def charged() -> bool:
            return [each.reason for each in await ledger(jobs)] == ["completed"]

        await eventually(charged)
        await eventually(lambda: not files_in(media_url))

    async def test_ended_jobs_are_removed_in_time(self, start_jobs: Any, pool: Any) -> None:
        await pool.add_flow("sandbox-st-1")
        retention = timedelta(seconds=1)
        async with start_jobs(image_job_retention=retention, cleanup_interval=timedelta(milliseconds=200)) as jobs:
            job = (await jobs.create()).job

            async def gone() -> bool:
                answer = await jobs.stub.ListImageJobs(image_job_pb2.ListImageJobsRequest())
                return not answer.jobs

            await jobs.until(job.generation_id, "completed")
            await eventually(gone)


class TestReading:
    async def test_other_keys_find_nothing(self, jobs: Any) -> None:
        job = (await jobs.create()).job
        assert await reason_of_refusal(jobs.get(job.generation_id, "key_2")) == "IMAGE_JOB_NOT_FOUND"
        for method, request in (
            ("CancelImageJob", image_job_pb2.CancelImageJobRequest),
            ("DeleteImageJob", image_job_pb2.DeleteImageJobRequest),
        ):
            call = getattr(jobs.stub, method)(request(generation_id=job.generation_id, api_key_id="key_2"))
            assert await reason_of_refusal(call) == "IMAGE_JOB_NOT_FOUND"
        listing = image_job_pb2.ListImageJobsRequest(api_key_id="key_2")
        assert not (await jobs.stub.ListImageJobs(listing)).jobs
        await jobs.until(job.generation_id, "completed")

    async def test_pages_go_on_from_each_other(self, jobs: Any) -> None:
        ids = [(await jobs.create()).job.generation_id for _ in range(3)]
        first = await jobs.stub.ListImageJobs(image_job_pb2.ListImageJobsRequest(page_size=2))
        assert [job.generation_id for job in first.jobs] == ids[:0:-1]
        second = await jobs.stub.ListImageJobs(
            image_job_pb2.ListImageJobsRequest(page_size=2, page_token=first.next_page_token)
        )
        assert ([job.generation_id for job in second.jobs], second.next_page_token) == (ids[:1], "")
        for each in ids:
            await jobs.until(each, "completed")

    async def test_watching_ends_with_the_end(self, jobs: Any, sandbox: RunningSandbox) -> None:
        sandbox.world.faults.add(Fault(kind="delay", route="flow.images", delay=0.3))
        job = (await jobs.create()).job
        request = image_job_pb2.WatchImageJobRequest(generation_id=job.generation_id, api_key_id="key_1")
        seen = [event.job async for event in jobs.stub.WatchImageJob(request, timeout=20)]
        assert [each.version for each in seen] == sorted(each.version for each in seen)
        assert seen[-1].state == image_job_pb2.IMAGE_JOB_STATE_COMPLETED
