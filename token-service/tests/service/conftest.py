"""A token service over real gRPC, Redis, SQL and the sandbox."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from flow2api_common.grpc_client import open_channel
from flow2api_common.settings import load_settings
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_proto.tokens.v1 import project_service_pb2_grpc, proxy_service_pb2_grpc, token_service_pb2_grpc
from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.passwords import cheap_passwords
from flow2api_testing.programs import Program
from flow2api_testing.waiting import eventually
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.migrate import migrate
from flow2api_token_service.settings import TokenServiceSettings


class TestClock:
    """A clock that stands at now plus what it was turned by."""

    __test__ = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.turned = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.turned

    @property
    def turned(self) -> timedelta:
        return self._turned

    @turned.setter
    def turned(self, turned: timedelta) -> None:
        """Turn it, for replicas in processes of their own too."""
        self._turned = turned
        new = self.file.with_suffix(".new")
        new.write_text(str(turned.total_seconds()))
        new.replace(self.file)


@dataclass(frozen=True)
class RunningReplica:
    address: str
    tokens: token_service_pb2_grpc.TokenServiceAsyncStub
    access: access_service_pb2_grpc.AccessServiceAsyncStub
    proxies: proxy_service_pb2_grpc.ProxyServiceAsyncStub
    projects: project_service_pb2_grpc.ProjectServiceAsyncStub


StartReplica = Callable[..., AbstractAsyncContextManager[RunningReplica]]


@pytest.fixture(autouse=True)
def _cheap_passwords() -> Iterator[None]:
    with cheap_passwords():
        yield


@pytest.fixture
def clock(tmp_path) -> TestClock:
    return TestClock(tmp_path / "clock")


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
        refresh_interval=timedelta(milliseconds=250),
        stats_interval=timedelta(milliseconds=250),
        resync_interval=timedelta(milliseconds=500),
        sweep_interval=timedelta(milliseconds=250),
    )


@pytest.fixture
async def start_replica(token_settings, clock, service_token) -> StartReplica:
    await migrate_by_copy(token_settings, migrate)

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
                project_service_pb2_grpc.ProjectServiceStub(channel),
            )

    return start


@pytest.fixture
async def start_replica_process(token_settings, clock, service_token, tmp_path):
    """Replicas in processes of their own, to be killed: gives their program and their stub."""
    await migrate_by_copy(token_settings, migrate)

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncIterator[tuple[Program, token_service_pb2_grpc.TokenServiceAsyncStub]]:
        settings = token_settings.model_copy(update=changes)
        address_file = tmp_path / "address"
        script = str(Path(__file__).with_name("replica_process.py"))
        command = (sys.executable, script, str(clock.file), str(address_file))
        program = Program("replica", command, _variables(settings), tmp_path)
        program.start()
        try:
            address = await eventually(address_file.read_text, timeout=60)
            async with open_channel(address, service_token=service_token) as channel:
                yield program, token_service_pb2_grpc.TokenServiceStub(channel)
        finally:
            program.kill()

    return start


def _variables(settings: TokenServiceSettings) -> dict[str, str]:
    """The settings as environment variables."""
    variables = {}
    for name, value in settings.model_dump(exclude_none=True).items():
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, timedelta):
            value = value.total_seconds()
        elif isinstance(value, dict):
            value = json.dumps(value)
        variables[f"FLOW2API_{name.upper()}"] = str(value)
    return variables


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


@pytest.fixture
def projects(replica) -> project_service_pb2_grpc.ProjectServiceAsyncStub:
    return replica.projects
