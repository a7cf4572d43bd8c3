"""Video jobs over the real service (gRPC, NATS, SQL), with the sandbox as upstream and the real poller beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.settings import DatabaseSettings, load_settings
from flow2api_generation_service.migrate import migrate
from flow2api_generation_service.models_base import SCHEMA
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.videos.job_to_grpc import JOB_STATES
from flow2api_poller_service.composition import running_poller_service
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_proto.generation.v1 import generation_service_pb2_grpc, video_pb2
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.waiting import eventually

API_KEY = "key_1"


@dataclass(frozen=True)
class VideoClient:
    """A client of a running service that speaks of videos."""

    stub: generation_service_pb2_grpc.GenerationServiceStub
    sandbox: RunningSandbox

    async def create(self, **fields: Any) -> video_pb2.Video:
        request = {"model_id": "veo_3_1_t2v_fast_landscape", "prompt": "waves", "api_key_id": API_KEY} | fields
        answer = await self.stub.CreateVideo(video_pb2.CreateVideoRequest(**request), timeout=30)
        return answer.video

    async def get(self, video_id: str) -> video_pb2.Video:
        answer = await self.stub.GetVideo(video_pb2.GetVideoRequest(video_id=video_id), timeout=30)
        return answer.video

    async def until(self, video_id: str, *states: str, timeout: float = 20) -> video_pb2.Video:
        """The video once it is in one of these states."""

        async def look() -> video_pb2.Video | None:
            video = await self.get(video_id)
            state = JOB_STATES[video.state]
            assert state in states, f"{state} {video.error}"
            return video

        return await eventually(look, timeout=timeout)

    def watch(self, video_id: str, **fields: Any) -> Any:
        return self.stub.WatchVideo(video_pb2.WatchVideoRequest(video_id=video_id, **fields), timeout=60)

    def submissions(self, prompt: str) -> int:
        """How often the upstream accepted, and charged, this prompt."""
        return self.sandbox.world.ledger.submissions[prompt].accepted


StartVideos = Callable[..., AbstractAsyncContextManager[VideoClient]]


@pytest.fixture
def video_settings(generation_settings: GenerationServiceSettings) -> GenerationServiceSettings:
    """Settings whose waits fit a test."""
    return generation_settings.model_copy(
        update={
            "video_lease_wait": timedelta(seconds=1),
            "video_capacity_retry": timedelta(milliseconds=100),
            "video_unknown_grace": timedelta(seconds=1),
            "video_submit_limit": timedelta(seconds=2),
            "video_ack_wait": timedelta(seconds=2),
            "video_sweep_interval": timedelta(milliseconds=200),
        }
    )


@pytest.fixture
def start_videos(start_service: Any, video_settings: GenerationServiceSettings, sandbox: RunningSandbox) -> StartVideos:
    """Runs a service with some settings changed, and the poller beside it unless told otherwise."""

    @asynccontextmanager
    async def start(*, poller: bool = True, **changes: Any) -> AsyncIterator[VideoClient]:
        settings = video_settings.model_copy(update=changes)
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(start_service(**settings.model_dump()))
            if poller:
                await stack.enter_async_context(running_poller_service(poller_settings(settings)))
            yield VideoClient(running.stub, sandbox)

    return start


def poller_settings(settings: GenerationServiceSettings) -> PollerServiceSettings:
    """Settings of a poller over the same servers that looks often."""
    shared = {name: getattr(settings, name) for name in PollerServiceSettings.model_fields if hasattr(settings, name)}
    return load_settings(
        PollerServiceSettings, **shared, video_poll_interval=0.2, poller_store_retry=timedelta(milliseconds=200)
    )


@pytest_asyncio.fixture
async def videos(start_videos: StartVideos, pool: Any) -> AsyncIterator[VideoClient]:
    """A client of a service with one Flow account and a poller."""
    await pool.add_flow("sandbox-st-1")
    async with start_videos() as client:
        yield client


@pytest_asyncio.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    """A migrated SQLite database, where the kind does not matter."""
    await migrate_by_copy(load_settings(DatabaseSettings, database_url=sqlite_url), migrate)
    opened = Database(SecretStr(sqlite_url), schema=SCHEMA)
    yield opened
    await opened.aclose()
