"""A token service over real gRPC, Redis, SQL and the sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flow2api_common.grpc_client import open_channel
from flow2api_common.settings import load_settings
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_proto.tokens.v1 import proxy_service_pb2_grpc, token_service_pb2_grpc
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.migrate import migrate
from flow2api_token_service.settings import TokenServiceSettings


class TestClock:
    """A clock that stands at now plus what it was turned by."""

    __test__ = False

    def __init__(self) -> None:
        self.turned = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.turned


@dataclass(frozen=True)
class RunningReplica:
    address: str
    tokens: token_service_pb2_grpc.TokenServiceAsyncStub
    access: access_service_pb2_grpc.AccessServiceAsyncStub
    proxies: proxy_service_pb2_grpc.ProxyServiceAsyncStub


StartReplica = Callable[..., AbstractAsyncContextManager[RunningReplica]]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def token_settings(upstream_settings, sqlite_url, redis_url, service_token, secret_key) -> TokenServiceSettings:
    return load_settings(
        TokenServiceSettings,
        **upstream_settings.model_dump(),
        database_url=sqlite_url,
        redis_url=redis_url,
        service_token=service_token,
        secret_key=secret_key,
        token_addr="127.0.0.1:0",
        api_key="test-key-0123456789",
        admin_password="correct horse",
        refresh_interval=timedelta(milliseconds=100),
        stats_interval=timedelta(milliseconds=100),
        resync_interval=timedelta(milliseconds=200),
        sweep_interval=timedelta(milliseconds=100),
    )


@pytest.fixture
async def start_replica(token_settings, clock, service_token) -> StartReplica:
    await migrate(token_settings)

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[RunningReplica]:
        settings = token_settings.model_copy(update=changes)
        async with (
            running_token_service(settings, clock=clock) as running,
            open_channel(running.address, service_token=service_token) as channel,
        ):
            yield RunningReplica(
                running.address,
                token_service_pb2_grpc.TokenServiceStub(channel),
                access_service_pb2_grpc.AccessServiceStub(channel),
                proxy_service_pb2_grpc.ProxyServiceStub(channel),
            )

    return start


@pytest.fixture
async def replica(start_replica) -> AsyncIterator[RunningReplica]:
    async with start_replica() as running:
        yield running


@pytest.fixture
def tokens(replica) -> token_service_pb2_grpc.TokenServiceAsyncStub:
    return replica.tokens


@pytest.fixture
def access(replica) -> access_service_pb2_grpc.AccessServiceAsyncStub:
    return replica.access


@pytest.fixture
def proxies(replica) -> proxy_service_pb2_grpc.ProxyServiceAsyncStub:
    return replica.proxies
