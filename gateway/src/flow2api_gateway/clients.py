"""The services behind the gateway: one channel each, shared by everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from flow2api_common.grpc_client import open_channel
from flow2api_gateway.settings import GatewaySettings
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_proto.generation.v1 import (
    generation_service_pb2_grpc,
    settings_service_pb2_grpc,
    webhook_service_pb2_grpc,
)
from flow2api_proto.tokens.v1 import project_service_pb2_grpc, proxy_service_pb2_grpc, token_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Peers:
    """Stubs of the services."""

    access: access_service_pb2_grpc.AccessServiceAsyncStub
    tokens: token_service_pb2_grpc.TokenServiceAsyncStub
    projects: project_service_pb2_grpc.ProjectServiceAsyncStub
    proxies: proxy_service_pb2_grpc.ProxyServiceAsyncStub
    generation: generation_service_pb2_grpc.GenerationServiceAsyncStub
    webhooks: webhook_service_pb2_grpc.WebhookServiceAsyncStub
    settings: settings_service_pb2_grpc.SettingsServiceAsyncStub
    health: dict[str, health_pb2_grpc.HealthStub]


@asynccontextmanager
async def connected_peers(settings: GatewaySettings) -> AsyncIterator[Peers]:
    """Open the channels. They connect by themselves, also when a service comes later or comes back."""
    async with AsyncExitStack() as stack:
        token = open_channel(
            settings.token_addr,
            service_token=settings.service_token,
            tls=settings.client_tls(settings.token_server_name),
        )
        stack.push_async_callback(_close, token)
        generation = open_channel(
            settings.generation_addr,
            service_token=settings.service_token,
            tls=settings.client_tls(settings.generation_server_name),
        )
        stack.push_async_callback(_close, generation)
        yield Peers(
            access=access_service_pb2_grpc.AccessServiceStub(token),
            tokens=token_service_pb2_grpc.TokenServiceStub(token),
            projects=project_service_pb2_grpc.ProjectServiceStub(token),
            proxies=proxy_service_pb2_grpc.ProxyServiceStub(token),
            generation=generation_service_pb2_grpc.GenerationServiceStub(generation),
            webhooks=webhook_service_pb2_grpc.WebhookServiceStub(generation),
            settings=settings_service_pb2_grpc.SettingsServiceStub(generation),
            health={"token": health_pb2_grpc.HealthStub(token), "generation": health_pb2_grpc.HealthStub(generation)},
        )


async def _close(channel: grpc.aio.Channel) -> None:
    await channel.close()
