"""Leases over gRPC: choosing, waiting, giving back, and what outcomes do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from pydantic import SecretStr
from redis.asyncio import Redis

from flow2api_common.errors import (
    CapacityError,
    DependencyUnavailable,
    FailedPrecondition,
    InvalidArgument,
    Unauthenticated,
)
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2_grpc
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_testing.waiting import eventually
from flow2api_token_service.redis_client import KEY_PREFIX

SESSION = "session-token-of-account-0001"
FLOW = token_pb2.LeaseCandidate(provider="flow", upstream_model="GEM_PIX_2")


@pytest.fixture
async def token(tokens, sandbox) -> token_pb2.Token:
    sandbox.world.add_account(SESSION, credits=100)
    request = pb.CreateTokenRequest(secret=SESSION, image_concurrency=1, video_concurrency=1)
    return (await tokens.CreateToken(request)).token


@pytest.fixture
def until_waiting(redis_url) -> Callable[[int], Awaitable[None]]:
    """Returns when as many wait for a lease."""

    async def until(count: int) -> None:
        async def as_many() -> bool:
            async with Redis.from_url(redis_url) as redis:
                return await redis.hlen(f"{KEY_PREFIX}:wait:tickets") == count

        await eventually(as_many)

    return until


async def acquire(
    tokens, *, wait=0, kind=token_pb2.KIND_IMAGE, candidates=(FLOW,), **fields
) -> pb.AcquireLeaseResponse:
    request = pb.AcquireLeaseRequest(
        request_id=fields.pop("request_id", new_id("request")),
        kind=kind,
        candidates=candidates,
        lease_duration=Duration(seconds=60),
        wait_timeout=Duration(seconds=wait),
        **fields,
    )
    with rpc_errors("token"):
        return await tokens.AcquireLease(request, timeout=30)


async def release(tokens, lease, outcome=token_pb2.OUTCOME_OK, **fields) -> bool:
    request = pb.ReleaseLeaseRequest(lease=lease, outcome=token_pb2.LeaseOutcome(outcome=outcome, **fields))
    with rpc_errors("token"):
        return (await tokens.ReleaseLease(request)).was_live


async def read(tokens, token) -> token_pb2.Token:
    return (await tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token


class TestAcquire:
    async def test_gives_the_lease_and_a_working_credential(self, tokens, sandbox, token):
        answer = await acquire(tokens, api_key_id="key")

        assert answer.lease.token_id == token.token_id
        assert answer.lease.upstream_model == "GEM_PIX_2"
        assert answer.lease.api_key_id == "key"
        assert answer.credential.bearer.startswith("ya29.")
        assert answer.credential.session_token == SESSION
        assert answer.credential.project_id == token.project_id
        assert answer.credential.tier == token_pb2.TIER_ONE
        assert (await read(tokens, token)).image_leases == 1

    async def test_says_when_nothing_is_free(self, tokens, token):
        await acquire(tokens)

        with pytest.raises(CapacityError) as caught:
            await acquire(tokens)

        assert caught.value.reason == "NO_TOKEN_AVAILABLE"
        assert caught.value.retry_after is not None

    async def test_says_when_waiting_is_pointless(self, tokens, token):
        candidate = token_pb2.LeaseCandidate(provider="flow", upstream_model="m", min_tier=token_pb2.TIER_TWO)

        with pytest.raises(FailedPrecondition) as caught:
            await acquire(tokens, wait=20, candidates=[candidate])

        assert caught.value.reason == "NO_ELIGIBLE_TOKEN"

    async def test_waiter_gets_the_lease_that_is_released(self, tokens, token, until_waiting):
        first = await acquire(tokens)
        waiting = asyncio.create_task(acquire(tokens, wait=20))
        await until_waiting(1)

        await release(tokens, first.lease)

        assert (await waiting).lease.lease_id != first.lease.lease_id

    async def test_waiter_is_told_in_time_when_nothing_came_free(self, tokens, token):
        await acquire(tokens)

        with pytest.raises(CapacityError):
            await acquire(tokens, wait=1)

    async def test_cancelled_waiter_leaves_nothing_behind(self, tokens, token, until_waiting):
        first = await acquire(tokens)
        waiting = [asyncio.create_task(acquire(tokens, wait=20)) for _ in range(5)]
        await until_waiting(5)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await release(tokens, first.lease)

        async def is_free():
            return (await acquire(tokens)).lease.lease_id

        await eventually(is_free)

    async def test_lease_that_redis_gives_after_the_caller_has_gone_is_given_back(self, tokens, token, redis_url):
        async with Redis.from_url(redis_url) as redis:
            await redis.client_pause(20_000, all=False)
            calls = [asyncio.create_task(acquire(tokens)) for _ in range(3)]

            async def all_have_reached_redis():
                return sum("evalsha" in client["cmd"] for client in await redis.client_list()) >= 3

            await eventually(all_have_reached_redis)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            await redis.client_unpause()

        async def one_was_given_and_none_is_held():
            seen = await read(tokens, token)
            return seen.stats.use_count >= 1 and seen.image_leases == 0

        await eventually(one_was_given_and_none_is_held)

    async def test_waiting_is_fair_across_api_keys(self, tokens, token, until_waiting):
        held = await acquire(tokens)
        order: list[str] = []

        async def wait_as(key: str) -> None:
            answer = await acquire(tokens, wait=20, api_key_id=key)
            order.append(key)
            await release(tokens, answer.lease)

        busy = [asyncio.create_task(wait_as("busy")) for _ in range(10)]
        await until_waiting(10)
        quiet = asyncio.create_task(wait_as("quiet"))
        await until_waiting(11)
        await release(tokens, held.lease)
        await asyncio.gather(*busy, quiet)

        assert order.index("quiet") <= 2

    async def test_limit_of_an_api_key_makes_it_wait(self, tokens, access, token, until_waiting):
        made = await access.CreateApiKey(access_service_pb2.CreateApiKeyRequest(name="small", max_concurrency=1))
        key = made.api_key.api_key_id
        video = await acquire(tokens, kind=token_pb2.KIND_VIDEO, api_key_id=key)

        with pytest.raises(CapacityError) as caught:
            await acquire(tokens, api_key_id=key)
        waiting = asyncio.create_task(acquire(tokens, api_key_id=key, wait=20))
        await until_waiting(1)
        await release(tokens, video.lease)

        assert caught.value.reason == "KEY_CONCURRENCY"
        assert (await waiting).lease.api_key_id == key

    @pytest.mark.parametrize(
        "change",
        [
            {"request_id": ""},
            {"kind": token_pb2.KIND_UNSPECIFIED},
            {"candidates": []},
            {"candidates": [token_pb2.LeaseCandidate(provider="flow")]},
        ],
    )
    async def test_refuses_an_incomplete_request(self, tokens, change):
        with pytest.raises(InvalidArgument):
            await acquire(tokens, **change)


class TestAbandon:
    async def test_lease_that_its_caller_never_got_is_ended_by_its_request(self, tokens, token):
        await acquire(tokens, request_id="lost")
        request = pb.AbandonLeaseRequest(request_id="lost")

        assert (await tokens.AbandonLease(request)).was_live
        assert not (await tokens.AbandonLease(request)).was_live

        seen = await read(tokens, token)
        assert (seen.image_leases, seen.stats.success_count, seen.stats.error_count) == (0, 0, 0)
        await acquire(tokens)

    async def test_refuses_a_missing_request_id(self, tokens):
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await tokens.AbandonLease(pb.AbandonLeaseRequest())


class TestManyReplicas:
    async def test_replicas_keep_the_limits_together_and_serve_all(self, start_replica, sandbox):
        async with start_replica() as one, start_replica() as two:
            for number in range(3):
                sandbox.world.add_account(f"session-token-of-account-{number}")
                secret = f"session-token-of-account-{number}"
                await one.tokens.CreateToken(pb.CreateTokenRequest(secret=secret, image_concurrency=2))
            held: dict[int, int] = {}
            highest = 0

            async def work(number: int) -> None:
                nonlocal highest
                stub = (one, two)[number % 2].tokens
                answer = await acquire(stub, wait=25, api_key_id=f"key{number % 5}")
                token_id = answer.lease.token_id
                held[token_id] = held.get(token_id, 0) + 1
                highest = max(highest, held[token_id])
                # The others go on meanwhile: another call goes to the service and back.
                await read(stub, token_pb2.Token(token_id=token_id))
                held[token_id] -= 1
                await release(stub, answer.lease)

            await asyncio.gather(*(work(number) for number in range(100)))

            assert 1 <= highest <= 2
            assert (await one.tokens.GetPoolStats(pb.GetPoolStatsRequest())).image_leases == 0


class TestRenew:
    async def test_each_lease_is_answered_on_its_own(self, tokens, token):
        live = await acquire(tokens)
        over = await acquire(tokens, kind=token_pb2.KIND_VIDEO)
        await release(tokens, over.lease)

        request = pb.RenewLeasesRequest(leases=[live.lease, over.lease], lease_duration=Duration(seconds=600))
        renewals = (await tokens.RenewLeases(request)).renewals

        assert [renewal.renewed for renewal in renewals] == [True, False]
        assert renewals[0].lease.expire_time.ToDatetime() > live.lease.expire_time.ToDatetime()


class TestOutcomes:
    async def test_success_counts_and_reaches_sql(self, tokens, token, start_replica):
        answer = await acquire(tokens)

        assert await release(tokens, answer.lease, output_count=1, remaining_credits=93)
        assert not await release(tokens, answer.lease, output_count=1)

        async def flushed():
            stats = (await tokens.GetPoolStats(pb.GetPoolStatsRequest())).stats
            return stats if stats.success_count and stats.use_count else None

        stats = await eventually(flushed)
        assert (stats.use_count, stats.success_count) == (1, 1)
        assert (stats.image_count, stats.success_count, stats.today_image_count) == (1, 1, 1)
        later = await read(tokens, token)
        assert (later.stats.image_count, later.credits) == (1, 93)

    async def test_rate_limited_model_rests_and_the_others_go_on(self, tokens, token):
        answer = await acquire(tokens)
        await release(tokens, answer.lease, token_pb2.OUTCOME_RATE_LIMITED, retry_delay=Duration(seconds=40))

        with pytest.raises(CapacityError) as caught:
            await acquire(tokens)
        await acquire(tokens, candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model="other")])

        assert 30 < caught.value.retry_after.total_seconds() <= 40
        assert (await read(tokens, token)).state == token_pb2.TOKEN_STATE_ACTIVE

    async def test_token_cools_when_rate_limits_repeat_across_models(self, tokens, token):
        for model in ("a", "b"):
            candidate = token_pb2.LeaseCandidate(provider="flow", upstream_model=model)
            answer = await acquire(tokens, candidates=[candidate])
            await release(tokens, answer.lease, token_pb2.OUTCOME_RATE_LIMITED)

        with pytest.raises(CapacityError):
            await acquire(tokens)
        cooling = await read(tokens, token)
        assert cooling.state == token_pb2.TOKEN_STATE_COOLING
        assert cooling.HasField("state_until_time")

    async def test_three_errors_set_the_token_aside_and_a_probe_brings_it_back(self, tokens, token, clock):
        for _ in range(3):
            answer = await acquire(tokens)
            await release(tokens, answer.lease, token_pb2.OUTCOME_UPSTREAM_ERROR)
        suspect = await read(tokens, token)
        assert (suspect.state, suspect.state_reason) == (token_pb2.TOKEN_STATE_SUSPECT, "errors")
        assert suspect.stats.error_count == 3
        with pytest.raises(CapacityError):
            await acquire(tokens)

        clock.turned = suspect.state_until_time.ToDatetime() - suspect.state_time.ToDatetime()

        async def is_back():
            return (await read(tokens, token)).state == token_pb2.TOKEN_STATE_ACTIVE

        await eventually(is_back)
        answer = await acquire(tokens)
        await release(tokens, answer.lease)
        assert (await read(tokens, token)).stats.consecutive_error_count == 0

    @pytest.mark.parametrize(
        ("outcome", "state", "reason"),
        [
            (token_pb2.OUTCOME_CREDITS_EXHAUSTED, token_pb2.TOKEN_STATE_PARKED, "credits"),
            (token_pb2.OUTCOME_VERIFICATION_REQUIRED, token_pb2.TOKEN_STATE_PARKED, "verification_required"),
            (token_pb2.OUTCOME_ACCOUNT_QUOTA_EXHAUSTED, token_pb2.TOKEN_STATE_PARKED, "quota"),
            (token_pb2.OUTCOME_CONTENT_REJECTED, token_pb2.TOKEN_STATE_ACTIVE, ""),
            (token_pb2.OUTCOME_BAD_INPUT, token_pb2.TOKEN_STATE_ACTIVE, ""),
        ],
    )
    async def test_outcome_moves_the_token(self, tokens, token, outcome, state, reason):
        answer = await acquire(tokens)
        await release(tokens, answer.lease, outcome)

        moved = await read(tokens, token)
        assert (moved.state, moved.state_reason) == (state, reason)

    async def test_token_parked_for_credits_comes_back_when_there_are_some(self, tokens, token, sandbox, clock):
        answer = await acquire(tokens)
        await release(tokens, answer.lease, token_pb2.OUTCOME_CREDITS_EXHAUSTED)
        sandbox.world.accounts[SESSION].credits = 500
        with pytest.raises(CapacityError):
            await acquire(tokens)

        clock.turned = timedelta(hours=2)

        async def is_back():
            seen = await read(tokens, token)
            return seen.state == token_pb2.TOKEN_STATE_ACTIVE and seen.credits == 500

        await eventually(is_back)

    async def test_enabled_token_is_healthy_again(self, tokens, token):
        answer = await acquire(tokens)
        await release(tokens, answer.lease, token_pb2.OUTCOME_VERIFICATION_REQUIRED)

        enabled = await tokens.EnableToken(pb.EnableTokenRequest(token_id=token.token_id))

        assert enabled.token.state == token_pb2.TOKEN_STATE_ACTIVE
        await acquire(tokens)

    async def test_disabled_token_is_not_chosen(self, tokens, token):
        await tokens.DisableToken(pb.DisableTokenRequest(token_id=token.token_id))

        with pytest.raises(FailedPrecondition):
            await acquire(tokens)


class TestRedisTrouble:
    async def test_flushed_redis_is_filled_again_and_the_lease_taken_back_in(self, tokens, token, redis_url):
        held = await acquire(tokens)
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        request = pb.RenewLeasesRequest(leases=[held.lease], lease_duration=Duration(seconds=60))

        assert (await tokens.RenewLeases(request)).renewals[0].renewed
        with pytest.raises(CapacityError):
            await acquire(tokens)
        assert await release(tokens, held.lease)
        await acquire(tokens)

    async def test_missing_redis_is_a_clear_unavailable(self, start_replica, tmp_path):
        async with start_replica(redis_url=SecretStr(f"unix://{tmp_path}/nobody.sock")) as replica:
            with pytest.raises(DependencyUnavailable) as caught:
                await acquire(replica.tokens)
        assert caught.value.retry_after is not None


async def test_stranger_is_refused(replica):
    async with grpc.aio.insecure_channel(replica.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await token_service_pb2_grpc.TokenServiceStub(channel).GetPoolStats(pb.GetPoolStatsRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_revoked_key_waits_no_longer_for_pictures_but_for_videos(tokens, access, token, until_waiting):
    key = (await access.CreateApiKey(access_service_pb2.CreateApiKeyRequest(name="leaving"))).api_key.api_key_id
    held = [(await acquire(tokens, kind=kind)).lease for kind in (token_pb2.KIND_IMAGE, token_pb2.KIND_VIDEO)]
    picture = asyncio.create_task(acquire(tokens, api_key_id=key, wait=20))
    clip = asyncio.create_task(acquire(tokens, api_key_id=key, wait=20, kind=token_pb2.KIND_VIDEO))
    other = asyncio.create_task(acquire(tokens, api_key_id="another", wait=20))
    await until_waiting(3)
    await access.RevokeApiKey(access_service_pb2.RevokeApiKeyRequest(api_key_id=key))
    with pytest.raises(Unauthenticated):
        await picture
    await until_waiting(2)
    for lease in held:
        await release(tokens, lease)
    assert (await clip).lease.api_key_id == key
    assert (await other).lease.api_key_id == "another"
