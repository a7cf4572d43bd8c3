"""The poller over real NATS, the real token service and the sandbox; the tests play the generation service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from flow2api_common.grpc_client import open_channel
from flow2api_common.ids import new_id
from flow2api_common.media_store import MediaStore
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.nats_streams import VIDEO_EVENTS, VIDEO_JOBS
from flow2api_common.settings import NatsSettings, load_settings
from flow2api_poller_service.composition import running_poller_service
from flow2api_poller_service.pool import TokenPool
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.waiting import eventually
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.migrate import migrate
from flow2api_token_service.settings import TokenServiceSettings
from flow2api_upstream.port import VideoCall, VideoKind
from flow2api_upstream.registry import ProviderRegistry, build_registry
from flow2api_upstream.settings import UpstreamSettings


@pytest_asyncio.fixture
async def token_addr(
    sqlite_url: str,
    redis_url: str,
    service_token: SecretStr,
    secret_key: SecretStr,
    upstream_settings: UpstreamSettings,
) -> AsyncIterator[str]:
    """Where the token service listens."""
    settings = load_settings(
        TokenServiceSettings,
        token_addr="127.0.0.1:0",
        database_url=sqlite_url,
        redis_url=redis_url,
        service_token=service_token,
        secret_key=secret_key,
        **upstream_settings.model_dump(include=set(UpstreamSettings.model_fields)),
    )
    await migrate_by_copy(settings, migrate)
    async with running_token_service(settings) as service:
        yield service.address


@pytest.fixture
def poller_settings(
    token_addr: str,
    nats_url: str,
    media_url: str,
    service_token: SecretStr,
    upstream_settings: UpstreamSettings,
) -> PollerServiceSettings:
    """Settings of a poller that looks often and gives up soon."""
    return load_settings(
        PollerServiceSettings,
        **upstream_settings.model_dump(include=set(UpstreamSettings.model_fields)),
        token_addr=token_addr,
        nats_url=nats_url,
        media_url=media_url,
        service_token=service_token,
        video_poll_interval=0.1,
        poller_linger=timedelta(milliseconds=20),
        poller_ack_wait=timedelta(seconds=2),
        poller_credential_ttl=timedelta(seconds=30),
        poller_store_patience=timedelta(seconds=2),
        poller_store_retry=timedelta(milliseconds=100),
        poller_still_processes=0,
    )


@dataclass
class Road:
    """Submits clips like the generation service does, and reads what the poller reports."""

    stub: token_service_pb2_grpc.TokenServiceStub
    pool: TokenPool
    nats: NatsConnection
    providers: ProviderRegistry
    sandbox: RunningSandbox
    store: MediaStore
    token_ids: list[int] = field(default_factory=list)

    async def add_token(self, account: str = "sandbox-st-1", provider: str = "flow") -> int:
        request = token_service_pb2.CreateTokenRequest(provider=provider, secret=account, video_concurrency=-1)
        token_id = (await self.stub.CreateToken(request)).token.token_id
        self.token_ids.append(token_id)
        return token_id

    async def submit(
        self,
        prompt: str = "waves",
        *,
        deadline: timedelta = timedelta(minutes=5),
        has_next_stage: bool = False,
        provider: str = "flow",
        model: str = "veo_3_1_t2v_fast",
        lease_duration: timedelta = timedelta(seconds=60),
        quantiles: Sequence[float] = (),
    ) -> video_events_pb2.PollVideo:
        """A clip that the upstream has accepted, under a lease, with its message on JetStream."""
        if not self.token_ids:
            await self.add_token()
        lease = await self._lease(provider, model, lease_duration)
        account = await self.pool.credential(lease.token_id)
        call = VideoCall(
            upstream_model=model,
            kind=VideoKind.TEXT,
            prompt=prompt,
            aspect_ratio="16:9",
            duration_seconds=8,
            resolution="720p",
            seed=7,
        )
        submission = await self.providers.get(provider).submit_video(account, call)
        message = video_events_pb2.PollVideo(
            video_id=new_id("video"),
            stage=video_events_pb2.VIDEO_STAGE_GENERATE,
            provider=provider,
            lease=lease,
            operation_handle=submission.operation,
            model_id="test",
            typical_duration_ms=1000,
            has_next_stage=has_next_stage,
            duration_quantiles_ms=[int(each * 1000) for each in quantiles],
        )
        message.submit_time.FromDatetime(datetime.now(UTC))
        message.deadline_time.FromDatetime(datetime.now(UTC) + deadline)
        await self.nats.publish(f"video.poll.{provider}", message, msg_id=f"{message.video_id}:1:poll")
        return message

    async def _lease(self, provider: str, model: str, duration: timedelta) -> token_pb2.Lease:
        request = token_service_pb2.AcquireLeaseRequest(
            request_id=new_id(),
            kind=token_pb2.KIND_VIDEO,
            candidates=[token_pb2.LeaseCandidate(provider=provider, upstream_model=model)],
        )
        request.lease_duration.FromTimedelta(duration)
        return (await self.stub.AcquireLease(request)).lease

    async def events(self, video_id: str) -> list[video_events_pb2.VideoEvent]:
        """What JetStream holds about a job."""
        try:
            info = await self.nats.js.stream_info(VIDEO_EVENTS)
        except NotFoundError:
            return []
        found = []
        for sequence in range(info.state.first_seq, info.state.last_seq + 1):
            message = await self.nats.js.get_msg(VIDEO_EVENTS, sequence)
            event = video_events_pb2.VideoEvent.FromString(message.data or b"")
            if event.video_id == video_id:
                found.append(event)
        return found

    async def kinds(self, video_id: str) -> list[str]:
        return [str(event.WhichOneof("event")) for event in await self.events(video_id)]

    async def end_of(self, video_id: str, timeout: float = 20) -> video_events_pb2.VideoEvent:
        """The event that ends the poller's work on a job, once there is one."""

        async def last() -> video_events_pb2.VideoEvent | None:
            events = await self.events(video_id)
            return next((each for each in events if each.WhichOneof("event") in _ENDS), None)

        return await eventually(last, timeout=timeout)

    async def waiting_messages(self) -> int:
        return (await self.nats.js.stream_info(VIDEO_JOBS)).state.messages

    async def token(self, token_id: int | None = None) -> token_pb2.Token:
        request = token_service_pb2.GetTokenRequest(token_id=token_id or self.token_ids[0])
        return (await self.stub.GetToken(request)).token


_ENDS = {"stage_done", "stored", "failed"}


@pytest_asyncio.fixture
async def road(
    token_addr: str,
    nats_url: str,
    media_url: str,
    service_token: SecretStr,
    upstream_settings: UpstreamSettings,
    sandbox: RunningSandbox,
) -> AsyncIterator[Road]:
    """Everything around the poller."""
    channel = open_channel(token_addr, service_token=service_token)
    providers = build_registry(upstream_settings)
    async with nats_connection(load_settings(NatsSettings, nats_url=SecretStr(nats_url)), "tests") as nats:
        yield Road(
            stub=token_service_pb2_grpc.TokenServiceStub(channel),
            pool=TokenPool(channel, credential_ttl=timedelta(0)),
            nats=nats,
            providers=providers,
            sandbox=sandbox,
            store=MediaStore.open(media_url),
        )
    await providers.aclose()
    await channel.close()


StartPoller = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def start_poller(poller_settings: PollerServiceSettings) -> StartPoller:
    """Runs a poller with some settings changed."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[None]:
        async with running_poller_service(poller_settings.model_copy(update=changes)):
            yield

    return start


@pytest_asyncio.fixture
async def poller(start_poller: StartPoller) -> AsyncIterator[None]:
    """A poller at work."""
    async with start_poller():
        yield
