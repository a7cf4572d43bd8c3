"""Image jobs over the real service (gRPC, NATS, SQL), with the sandbox as upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from flow2api_generation_service.image_jobs.job_to_grpc import JOB_STATES
from flow2api_proto.generation.v1 import generation_service_pb2_grpc, image_job_pb2, image_pb2
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.waiting import eventually

API_KEY = "key_1"


@dataclass(frozen=True)
class JobClient:
    """A client of a running service that speaks of image jobs."""

    stub: generation_service_pb2_grpc.GenerationServiceStub
    sandbox: RunningSandbox

    async def create(self, **fields: Any) -> image_job_pb2.CreateImageJobResponse:
        request = {"model_id": "gemini-3.1-flash-image", "prompt": "a lighthouse", "api_key_id": API_KEY} | fields
        wanted = image_job_pb2.CreateImageJobRequest(
            request=image_pb2.GenerateImageRequest(**request), answer_options={"response_format": "url"}
        )
        return await self.stub.CreateImageJob(wanted, timeout=30)

    async def get(self, generation_id: str, api_key_id: str = "") -> image_job_pb2.ImageJob:
        request = image_job_pb2.GetImageJobRequest(generation_id=generation_id, api_key_id=api_key_id)
        return (await self.stub.GetImageJob(request, timeout=30)).job

    async def until(self, generation_id: str, state: str, *, timeout: float = 20) -> image_job_pb2.ImageJob:
        """The job once it is in this state."""

        async def look() -> image_job_pb2.ImageJob:
            job = await self.get(generation_id)
            assert JOB_STATES[job.state] == state, job
            return job

        return await eventually(look, timeout=timeout)

    async def cancel(self, generation_id: str) -> image_job_pb2.CancelImageJobResponse:
        request = image_job_pb2.CancelImageJobRequest(generation_id=generation_id, api_key_id=API_KEY)
        return await self.stub.CancelImageJob(request, timeout=30)

    async def delete(self, generation_id: str) -> None:
        request = image_job_pb2.DeleteImageJobRequest(generation_id=generation_id, api_key_id=API_KEY)
        await self.stub.DeleteImageJob(request, timeout=30)

    def submissions(self, prompt: str = "a lighthouse") -> int:
        """How often the upstream accepted this prompt."""
        return self.sandbox.world.ledger.submissions[prompt].accepted


StartJobs = Callable[..., AbstractAsyncContextManager[JobClient]]


@pytest.fixture
def start_jobs(start_service: Any, sandbox: RunningSandbox) -> StartJobs:
    """Runs a service whose waits fit a test, with some settings changed."""
    waits = {
        "video_lease_wait": timedelta(seconds=0.2),
        "video_capacity_retry": timedelta(milliseconds=100),
        "video_ack_wait": timedelta(seconds=2),
        "video_sweep_interval": timedelta(milliseconds=200),
        "video_no_account_grace": timedelta(seconds=0.5),
        "image_job_claim": timedelta(seconds=2),
    }

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[JobClient]:
        async with start_service(**(waits | changes)) as running:
            yield JobClient(running.stub, sandbox)

    return start


@pytest_asyncio.fixture
async def jobs(start_jobs: StartJobs, pool: Any) -> AsyncIterator[JobClient]:
    """A client of a service with one Flow account."""
    await pool.add_flow("sandbox-st-1")
    async with start_jobs() as client:
        yield client
