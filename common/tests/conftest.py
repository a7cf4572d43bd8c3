"""What the tests share: a small gRPC service, served for real, and a NATS server that can be killed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from pydantic import SecretStr

from flow2api_common.grpc_client import open_channel
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.grpc_tls import ClientTls, ServerTls
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.nats_streams import StreamLimits
from flow2api_common.settings import NatsSettings

SERVICE = "flow2api.test.v1.EchoService"


async def _ready() -> None:
    return None


async def _echo(request: StringValue, context: Any) -> StringValue:
    return request


async def _count(request: StringValue, context: Any) -> AsyncIterator[StringValue]:
    for number in range(int(request.value)):
        yield StringValue(value=str(number))


async def _join(requests: AsyncIterator[StringValue], context: Any) -> StringValue:
    return StringValue(value="".join([request.value async for request in requests]))


async def _repeat(requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield request


@dataclass
class EchoService:
    """One method of each of the four kinds; a test replaces what it wants."""

    unary: Callable[..., Any] = _echo
    stream_out: Callable[..., Any] = _count
    stream_in: Callable[..., Any] = _join
    stream_both: Callable[..., Any] = _repeat
    readiness: Callable[[], Awaitable[None]] = _ready
    service_token: SecretStr = field(default_factory=lambda: SecretStr("a-service-token"))
    address: str = "127.0.0.1:0"
    tls: ServerTls | None = None

    @property
    def name(self) -> str:
        return SERVICE

    def add_to(self, server: grpc.aio.Server) -> None:
        coding = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": StringValue.SerializeToString,
        }
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary, **coding),
            "StreamOut": grpc.unary_stream_rpc_method_handler(self.stream_out, **coding),
            "StreamIn": grpc.stream_unary_rpc_method_handler(self.stream_in, **coding),
            "StreamBoth": grpc.stream_stream_rpc_method_handler(self.stream_both, **coding),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])


class EchoClient:
    """Calls the service through our own channel; ``server`` is for tests that stop it."""

    def __init__(self, channel: grpc.aio.Channel, server: GrpcServer, address: str) -> None:
        self.channel = channel
        self.server = server
        self.address = address
        coding = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self._unary = channel.unary_unary(f"/{SERVICE}/Unary", **coding)
        self._stream_out = channel.unary_stream(f"/{SERVICE}/StreamOut", **coding)
        self._stream_in = channel.stream_unary(f"/{SERVICE}/StreamIn", **coding)
        self._stream_both = channel.stream_stream(f"/{SERVICE}/StreamBoth", **coding)

    async def unary(self, text: str, **options: Any) -> str:
        return (await self._unary(StringValue(value=text), **options)).value

    def stream_out(self, text: str) -> grpc.aio.UnaryStreamCall:
        return self._stream_out(StringValue(value=text))

    async def stream_in(self, *texts: str) -> str:
        async def requests() -> AsyncIterator[StringValue]:
            for text in texts:
                yield StringValue(value=text)

        return (await self._stream_in(requests())).value

    async def stream_both(self, *texts: str) -> list[str]:
        async def requests() -> AsyncIterator[StringValue]:
            for text in texts:
                yield StringValue(value=text)

        return [response.value async for response in self._stream_both(requests())]


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[EchoClient]]]:
    """``client = await serve(unary=…)``: the service on a free port, and a client of it."""
    servers: list[GrpcServer] = []
    channels: list[grpc.aio.Channel] = []

    async def start(
        *, client_token: str | None = None, client_tls: ClientTls | None = None, **behaviour: Any
    ) -> EchoClient:
        service = EchoService(**behaviour)
        server = GrpcServer(
            address=service.address,
            service_token=service.service_token,
            service_names=[SERVICE],
            tls=service.tls,
            readiness=lambda: service.readiness(),
            readiness_interval=timedelta(milliseconds=20),
        )
        server.register(service.add_to)
        servers.append(server)
        address = await server.start()
        token = service.service_token if client_token is None else SecretStr(client_token)
        channel = open_channel(address, service_token=token, tls=client_tls)
        channels.append(channel)
        return EchoClient(channel, server, address)

    yield start
    for channel in channels:
        await channel.close()
    for server in servers:
        await server.stop(timedelta(0))


class NatsServer:
    """A real nats-server that a test kills and starts again, on the same port and the same store."""

    def __init__(self, directory: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> NatsSettings:
        return NatsSettings(nats_url=SecretStr(f"nats://127.0.0.1:{self.port}"))

    def start(self) -> None:
        program = Path(sys.executable).with_name("nats-server")
        options = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self._directory)]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen([program, *options], stdout=log, stderr=log)  # noqa: S603 - our own server

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Lose the store."""
        shutil.rmtree(self._directory / "jetstream")


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """Not started yet."""
    directory = tmp_path / "nats-store"
    directory.mkdir()
    server = NatsServer(directory)
    yield server
    server.kill()


@pytest.fixture
async def nats(nats_server: NatsServer) -> AsyncIterator[NatsConnection]:
    """A connection to a running server that has our streams."""
    nats_server.start()
    async with nats_connection(nats_server.settings, "test") as connection:
        await connection.ensure_streams(StreamLimits(duplicate_window=timedelta(seconds=30)))
        yield connection
