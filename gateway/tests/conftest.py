"""A gateway over real gRPC servers whose servicers are fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from flow2api_common.errors import (
    CapacityError,
)
from flow2api_common.grpc_server import GrpcServer
from flow2api_common.media_store import MediaStore
from flow2api_gateway.app import build_app
from flow2api_gateway.composition import build_gateway, running_gateway
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.settings import GatewaySettings
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_proto.generation.v1 import (
    generation_service_pb2_grpc,
    settings_service_pb2_grpc,
    webhook_service_pb2_grpc,
)
from flow2api_proto.tokens.v1 import (
    project_service_pb2_grpc,
    proxy_service_pb2_grpc,
    token_service_pb2_grpc,
)
from flow2api_testing.gateway_peers.access import FakeAccess
from flow2api_testing.gateway_peers.content import API_KEY, SESSION, picture
from flow2api_testing.gateway_peers.generation import FakeGeneration
from flow2api_testing.gateway_peers.projects import FakeProjects
from flow2api_testing.gateway_peers.proxies import FakeProxies
from flow2api_testing.gateway_peers.settings import FakeSettings
from flow2api_testing.gateway_peers.tokens import FakeTokens
from flow2api_testing.gateway_peers.webhooks import FakeWebhooks
from flow2api_testing.waiting import eventually


@dataclass
class World:
    """The gateway's peers, its settings and clients of it."""

    access: FakeAccess
    tokens: FakeTokens
    generation: FakeGeneration
    webhooks: FakeWebhooks
    settings: GatewaySettings
    servers: dict[str, GrpcServer]
    proxies: FakeProxies
    live_settings: FakeSettings

    def with_settings(self, **changes: Any) -> GatewaySettings:
        """Other settings for the same peers."""
        return self.settings.model_copy(update=changes)


async def _nothing_is_away() -> None:
    return


@pytest.fixture
async def world(service_token: SecretStr, secret_key: SecretStr, media_url: str) -> AsyncIterator[World]:
    """Two gRPC servers and the settings of a gateway in front of them."""
    store = MediaStore.open(media_url)
    access, tokens, generation = FakeAccess(), FakeTokens(), FakeGeneration(store=store)
    proxies = FakeProxies()
    token_server = _server(service_token)
    token_server.register(lambda server: access_service_pb2_grpc.add_AccessServiceServicer_to_server(access, server))
    token_server.register(lambda server: token_service_pb2_grpc.add_TokenServiceServicer_to_server(tokens, server))
    projects = FakeProjects()
    token_server.register(
        lambda server: project_service_pb2_grpc.add_ProjectServiceServicer_to_server(projects, server)
    )
    token_server.register(lambda server: proxy_service_pb2_grpc.add_ProxyServiceServicer_to_server(proxies, server))
    generation_server = _server(service_token)
    generation_server.register(
        lambda server: generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(generation, server)
    )
    webhooks = FakeWebhooks()
    generation_server.register(
        lambda server: webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server(webhooks, server)
    )
    live_settings = FakeSettings()
    generation_server.register(
        lambda server: settings_service_pb2_grpc.add_SettingsServiceServicer_to_server(live_settings, server)
    )
    servers = {"token": token_server, "generation": generation_server}
    settings = GatewaySettings(
        service_token=service_token,
        secret_key=secret_key,
        media_url=media_url,
        token_addr=await token_server.start(),
        generation_addr=await generation_server.start(),
        port=0,
        heartbeat_interval=timedelta(milliseconds=50),
        drain_timeout=timedelta(milliseconds=200),
    )
    yield World(access, tokens, generation, webhooks, settings, servers, proxies, live_settings)
    for server in servers.values():
        await server.stop(timedelta(0))


def _server(service_token: SecretStr) -> GrpcServer:
    return GrpcServer(address="127.0.0.1:0", service_token=service_token, service_names=(), readiness=_nothing_is_away)


@pytest.fixture
def open_client(world: World) -> Callable[..., Any]:
    """``async with open_client(max_body_bytes=10) as client``: an HTTP client straight into the application."""

    @asynccontextmanager
    async def opened(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with AsyncExitStack() as stack:
            gateway: Gateway = await build_gateway(stack, world.with_settings(**changes), base_url="http://gw.example")
            if not world.access.is_deaf:
                await eventually(lambda: gateway.api_keys.hears_changes)
            transport = httpx.ASGITransport(build_app(gateway))
            client = httpx.AsyncClient(
                transport=transport,
                base_url="http://gw.example",
                headers={"authorization": f"Bearer {API_KEY}"},
                timeout=20,
            )
            yield await stack.enter_async_context(client)

    return opened


@pytest.fixture
async def client(open_client: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a good API key, without a socket."""
    async with open_client() as opened:
        yield opened


@pytest.fixture
async def admin(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same client with an administrator's session."""
    client.headers["authorization"] = f"Bearer {SESSION}"
    return client


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """A gateway on a real socket."""
    async with running_gateway(world.settings) as service:
        yield service.address


@pytest.fixture
async def sdk(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official client of that gateway."""
    async with openai.AsyncOpenAI(api_key=API_KEY, base_url=f"{address}/v1", max_retries=0) as opened:
        yield opened


@pytest.fixture
def make_picture() -> Callable[..., bytes]:
    """Real pictures."""
    return picture


@pytest.fixture
def busy() -> CapacityError:
    """Nothing is free for six seconds."""
    return CapacityError("All accounts are busy.", retry_after=timedelta(seconds=6))
