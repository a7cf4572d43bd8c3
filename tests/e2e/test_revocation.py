"""What is ended at one replica of the token service is ended at once at every gateway, whichever it speaks to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from flow2api_common.grpc_client import open_channel
from flow2api_common.settings import load_settings
from flow2api_gateway.composition import running_gateway
from flow2api_gateway.settings import GatewaySettings
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc
from flow2api_testing.waiting import eventually
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.migrate import migrate
from flow2api_token_service.settings import TokenServiceSettings

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Pair:
    """A replica of the token service, and a gateway that knows no other."""

    access: Any
    http: httpx.AsyncClient

    async def opens(self, secret: str) -> bool:
        """Whether the key opens anything; what is behind it may be away."""
        answer = await self.http.get("/v1/videos", headers={"authorization": f"Bearer {secret}"})
        return answer.status_code != 401

    async def admits(self, session: str) -> bool:
        answer = await self.http.get("/admin/keys", headers={"authorization": f"Bearer {session}"})
        return answer.status_code == 200

    async def login(self) -> str:
        answer = await self.http.post("/admin/login", json={"username": "admin", "password": PASSWORD})
        return str(answer.json()["token"])


@pytest.fixture
async def pairs(
    upstream_settings: Any, sqlite_url: str, redis_url: str, service_token: Any, secret_key: Any, media_url: str
) -> AsyncIterator[list[Pair]]:
    settings = load_settings(
        TokenServiceSettings,
        **upstream_settings.model_dump(),
        database_url=sqlite_url,
        redis_url=redis_url,
        service_token=service_token,
        secret_key=secret_key,
        token_addr="127.0.0.1:0",
        admin_password=PASSWORD,
    )
    await migrate(settings)
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(2):
            token = await stack.enter_async_context(running_token_service(settings))
            gateway = await stack.enter_async_context(
                running_gateway(
                    load_settings(
                        GatewaySettings,
                        port=0,
                        token_addr=token.address,
                        generation_addr="127.0.0.1:1",
                        service_token=service_token,
                        secret_key=secret_key,
                        media_url=media_url,
                    )
                )
            )
            channel = await stack.enter_async_context(open_channel(token.address, service_token=service_token))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.address, trust_env=False))
            started.append(Pair(access_service_pb2_grpc.AccessServiceStub(channel), http))
        yield started


async def test_revoked_key_is_refused_everywhere(pairs: list[Pair]) -> None:
    made = await pairs[0].access.CreateApiKey(access_service_pb2.CreateApiKeyRequest(name="mine"))
    assert [await pair.opens(made.secret) for pair in pairs] == [True, True]

    await pairs[0].access.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id))

    for pair in pairs:

        async def is_refused(pair: Pair = pair) -> bool:
            return not await pair.opens(made.secret)

        # Far less than an answer about a key may be kept without being told.
        await eventually(is_refused, timeout=1.5)


async def test_ended_session_is_refused_everywhere(pairs: list[Pair]) -> None:
    session = await pairs[0].login()
    assert [await pair.admits(session) for pair in pairs] == [True, True]

    await pairs[0].access.Logout(access_service_pb2.LogoutRequest(session_token=session))

    assert [await pair.admits(session) for pair in pairs] == [False, False]
