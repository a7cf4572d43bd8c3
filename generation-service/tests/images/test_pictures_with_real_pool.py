"""Pictures with the real token service over Redis: leases are taken, waited for and given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio
from pydantic import SecretStr

from flow2api_common.grpc_client import open_channel
from flow2api_common.settings import load_settings
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_proto.generation.v1 import image_pb2, media_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_sandbox.faults import Fault
from flow2api_sandbox.server import RunningSandbox
from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.waiting import eventually
from flow2api_token_service.access.bootstrap import SETTINGS_KEY_ID
from flow2api_token_service.composition import running_token_service
from flow2api_token_service.migrate import migrate as migrate_tokens
from flow2api_token_service.settings import TokenServiceSettings
from flow2api_token_service.tokens.servicer import TokenServicer
from flow2api_upstream.settings import UpstreamSettings


@pytest.fixture
def crossing_answers(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Answers of AcquireLease that never arrive, though the leases are taken; tells when there is one."""
    taken, acquire = asyncio.Event(), TokenServicer.AcquireLease

    async def acquire_and_keep_quiet(self: TokenServicer, request: Any, context: Any) -> Any:
        await acquire(self, request, context)
        taken.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(TokenServicer, "AcquireLease", acquire_and_keep_quiet)
    return taken


@pytest_asyncio.fixture
async def token_addr(
    redis_url: str,
    sqlite_url: str,
    upstream_settings: UpstreamSettings,
    service_token: SecretStr,
    secret_key: SecretStr,
) -> AsyncIterator[str]:
    """The real token service in place of the stand-in."""
    settings = load_settings(
        TokenServiceSettings,
        token_addr="127.0.0.1:0",
        redis_url=redis_url,
        database_url=sqlite_url.replace("test.db", "tokens.db"),
        service_token=service_token,
        secret_key=secret_key,
        flow_labs_url=upstream_settings.flow_labs_url,
        flow_api_url=upstream_settings.flow_api_url,
        gemini_url=upstream_settings.gemini_url,
        upstream_impersonate="",
        api_key="test-key-0123456789",
    )
    await migrate_by_copy(settings, migrate_tokens)
    async with running_token_service(settings) as service:
        yield service.address


@pytest.fixture
def api_key_id() -> str:
    """The key of the settings."""
    return SETTINGS_KEY_ID


@pytest_asyncio.fixture
async def tokens(
    token_addr: str, service_token: SecretStr
) -> AsyncIterator[token_service_pb2_grpc.TokenServiceAsyncStub]:
    """A client of the token service."""
    channel = open_channel(token_addr, service_token=service_token)
    yield token_service_pb2_grpc.TokenServiceStub(channel)
    await channel.close()


async def add(tokens: Any, secret: str, *, provider: str = "flow", limit: int = -1) -> int:
    answer = await tokens.CreateToken(
        token_service_pb2.CreateTokenRequest(provider=provider, secret=secret, image_concurrency=limit)
    )
    return int(answer.token.token_id)


async def pool_stats(tokens: Any) -> token_service_pb2.GetPoolStatsResponse:
    return await tokens.GetPoolStats(token_service_pb2.GetPoolStatsRequest())


async def nothing_leased(tokens: Any) -> bool:
    return (await pool_stats(tokens)).image_leases == 0


def made(events: list[image_pb2.GenerateImageResponse]) -> int:
    return sum(event.WhichOneof("event") == "image" for event in events)


async def test_many_pictures_share_few_slots(
    client: Any, tokens: Any, sandbox: RunningSandbox, generation_settings: GenerationServiceSettings
) -> None:
    await add(tokens, "sandbox-st-1", limit=2)
    await add(tokens, "sandbox-key-1", provider="gemini", limit=1)
    results = await asyncio.gather(*(client.images(image_count=2) for _ in range(6)))
    assert [made(events) for events in results] == [2] * 6
    await eventually(lambda: nothing_leased(tokens))
    report = sandbox.world.watches()["sandbox-st-1"].highest
    assert max(report.values()) <= 2
    stats = await eventually(lambda: counted(tokens, 12))
    assert stats.stats.success_count == 12


async def counted(tokens: Any, image_count: int) -> token_service_pb2.GetPoolStatsResponse | None:
    stats = await pool_stats(tokens)
    return stats if stats.stats.image_count == image_count else None


async def test_throttled_token_cools_and_the_other_serves(client: Any, tokens: Any, sandbox: RunningSandbox) -> None:
    first = await add(tokens, "sandbox-st-1")
    await add(tokens, "sandbox-st-2")
    sandbox.world.faults.add(Fault(kind="quota_account", route="flow.images", account="sandbox-st-1"))
    assert [made(await client.images()) for _ in range(4)] == [1] * 4
    answer = await tokens.GetToken(token_service_pb2.GetTokenRequest(token_id=first))
    assert answer.token.state == token_pb2.TOKEN_STATE_PARKED


async def test_expired_bearers_are_renewed_under_way(client: Any, tokens: Any, sandbox: RunningSandbox) -> None:
    await add(tokens, "sandbox-st-1")
    assert sandbox.world.expire_access_tokens() == 1
    assert made(await client.images()) == 1
    await eventually(lambda: nothing_leased(tokens))


async def test_project_that_is_gone_is_replaced_under_way(client: Any, tokens: Any, sandbox: RunningSandbox) -> None:
    await add(tokens, "sandbox-st-1")
    account = sandbox.world.accounts["sandbox-st-1"]
    (gone,) = account.projects
    del account.projects[gone]

    assert made(await client.images(image_count=2)) == 2
    assert made(await client.images()) == 1

    assert len(account.projects) == 1
    assert gone not in account.projects


async def test_pictures_with_references_move_to_the_new_project(
    client: Any, tokens: Any, sandbox: RunningSandbox, picture: Callable[..., bytes]
) -> None:
    await add(tokens, "sandbox-st-1")
    sandbox.world.accounts["sandbox-st-1"].projects.clear()

    assert made(await client.images(input_images=[media_pb2.InputImage(data=picture())])) == 1


async def test_client_that_goes_away_while_waiting_leaves_nothing(client: Any, tokens: Any) -> None:
    await add(tokens, "sandbox-st-1", limit=0)
    call = client.start()
    event = await call.read()
    assert event.progress.stage == image_pb2.IMAGE_STAGE_QUEUED
    call.cancel()
    await eventually(lambda: nothing_leased(tokens))


async def test_lease_whose_answer_crosses_the_cancellation_is_given_back(
    crossing_answers: asyncio.Event, client: Any, tokens: Any
) -> None:
    await add(tokens, "sandbox-st-1")
    call = client.start()
    await crossing_answers.wait()
    assert (await pool_stats(tokens)).image_leases == 1
    call.cancel()
    await eventually(lambda: nothing_leased(tokens))


async def test_busy_pool_answers_with_a_retry_delay(start_service: Any, tokens: Any) -> None:
    await add(tokens, "sandbox-st-1", limit=0)
    async with start_service(image_token_wait=timedelta(seconds=0.2)) as client:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await client.images()
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
