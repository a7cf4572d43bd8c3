"""What is left of a refresh whose process was killed, and of one that answers too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import DependencyUnavailable, FailedPrecondition, Flow2APIError, UpstreamUnavailable
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_common.settings import load_settings
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_sandbox.accounts import SessionState
from flow2api_sandbox.faults import Fault
from flow2api_testing.waiting import eventually
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

SESSION = "session-token-of-account-0001"
OTHER = "session-token-of-account-0002"
NO_BACKGROUND = {"refresh_interval": timedelta(hours=1)}
LONGEST_LOCK_MS = 10_000


@pytest.fixture
async def redis(redis_url):
    client = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    yield client
    await client.aclose()


@pytest.fixture
def world(sandbox):
    sandbox.world.add_account(SESSION, credits=100)
    sandbox.world.add_account(OTHER, credits=100)
    return sandbox.world


@pytest.fixture
async def tokens(start_replica):
    async with start_replica(**NO_BACKGROUND) as replica:
        yield replica.tokens


@pytest.fixture
async def token(tokens, world) -> token_pb2.Token:
    return (await tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token


async def credential(tokens, token, rejected_version=0) -> token_pb2.Credential:
    request = pb.GetCredentialRequest(token_id=token.token_id, rejected_version=rejected_version)
    with rpc_errors("token"):
        return (await tokens.GetCredential(request, timeout=30)).credential


async def acquire(tokens) -> pb.AcquireLeaseResponse:
    request = pb.AcquireLeaseRequest(
        request_id=new_id(),
        kind=token_pb2.KIND_IMAGE,
        candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model="m")],
        lease_duration=Duration(seconds=60),
    )
    with rpc_errors("token"):
        return await tokens.AcquireLease(request, timeout=30)


async def refresh(tokens, token) -> None:
    with rpc_errors("token"):
        await tokens.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id), timeout=60)


async def kill_during_refresh(start_replica_process, token, has_come) -> None:
    """Let a replica of its own refresh the token, and kill it when ``has_come`` is true."""
    async with start_replica_process(**NO_BACKGROUND) as (program, stub):
        refreshing = asyncio.create_task(refresh(stub, token))
        await eventually(has_come, timeout=30)
        program.kill()
        with pytest.raises(DependencyUnavailable):
            await refreshing


async def end_lock(redis, token) -> None:
    """Let the time of the killed holder's lock be over."""
    key = f"{KEY_PREFIX}:lock:refresh:{token.token_id}"
    assert 0 < await redis.pttl(key) <= LONGEST_LOCK_MS
    await redis.delete(key)


async def test_killed_refresh_blocks_nobody_for_long(tokens, token, world, redis, start_replica_process):
    version = (await credential(tokens, token)).version
    world.faults.add(Fault(kind="hang", route="flow.session", times=1))
    await kill_during_refresh(start_replica_process, token, lambda: world.ledger.sessions[SESSION].running)

    assert (await acquire(tokens)).credential.version == version
    waiting = asyncio.create_task(credential(tokens, token, version))
    await end_lock(redis, token)

    assert (await waiting).version == version + 1
    assert world.ledger.sessions[SESSION].highest == 1


async def test_rotated_session_outlives_a_kill_before_it_is_stored(tokens, token, world, redis, start_replica_process):
    account = world.accounts[SESSION]
    account.rotate_session_token = True
    proofs = world.ledger.calls["flow.credits"]
    world.faults.add(Fault(kind="hang", route="flow.credits", times=1))
    # The answer with the new session has come, and nothing was committed: the access token is being proved.
    await kill_during_refresh(start_replica_process, token, lambda: world.ledger.calls["flow.credits"] > proofs)
    assert account.session_token != SESSION
    assert (await credential(tokens, token)).session_token == SESSION
    account.rotate_session_token = False
    await end_lock(redis, token)

    await refresh(tokens, token)

    assert (await credential(tokens, token)).session_token == account.session_token


async def test_noted_session_that_is_dead_gives_way_to_the_stored_one(
    tokens, token, world, redis, start_replica_process
):
    account = world.accounts[SESSION]
    account.rotate_session_token = True
    proofs = world.ledger.calls["flow.credits"]
    world.faults.add(Fault(kind="hang", route="flow.credits", times=1))
    await kill_during_refresh(start_replica_process, token, lambda: world.ledger.calls["flow.credits"] > proofs)
    account.rotate_session_token = False
    world.forget_session_token(account.session_token)
    await end_lock(redis, token)

    await refresh(tokens, token)

    assert (await credential(tokens, token)).session_token == SESSION


@pytest.mark.parametrize("session_state", [SessionState.OK, SessionState.SIGNED_OUT])
async def test_late_answer_for_an_old_secret_changes_nothing(tokens, token, world, session_state):
    account = world.accounts[SESSION]
    account.rotate_session_token = True
    world.faults.add(Fault(kind="delay", route="flow.session", account=SESSION, delay=1000, times=1))
    account.session_state = session_state
    refreshing = asyncio.create_task(refresh(tokens, token))
    await eventually(lambda: world.ledger.sessions[SESSION].running)
    update = pb.UpdateTokenRequest(
        token=token_pb2.Token(token_id=token.token_id), update_mask=FieldMask(paths=["secret"]), secret=OTHER
    )
    await tokens.UpdateToken(update)

    world.clock.advance(1000)
    await refreshing

    assert (await credential(tokens, token)).session_token == OTHER
    now = (await tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token
    assert now.state == token_pb2.TOKEN_STATE_ACTIVE


async def test_stopping_service_lets_its_refreshes_end(start_replica, tokens, token, world):
    account = world.accounts[SESSION]
    account.rotate_session_token = True
    world.faults.add(Fault(kind="delay", route="flow.session", delay=0.3, times=1))
    async with start_replica(**NO_BACKGROUND) as other:
        refreshing = asyncio.create_task(refresh(other.tokens, token))
        await eventually(lambda: world.ledger.sessions[SESSION].running)

    await asyncio.gather(refreshing, return_exceptions=True)
    assert (await credential(tokens, token)).session_token == account.session_token


async def test_bearer_that_works_is_handed_out_while_it_is_renewed(tokens, token, world, clock):
    version = (await credential(tokens, token)).version
    world.clock.advance(56 * 60)
    clock.turned = timedelta(minutes=56)
    world.faults.add(Fault(kind="hang", route="flow.session", times=1))

    assert (await acquire(tokens)).credential.version == version
    assert (await credential(tokens, token)).version == version
    await eventually(lambda: world.ledger.sessions[SESSION].running == 1)
    world.stop()


async def test_token_that_cannot_be_renewed_is_not_tried_by_every_request(tokens, token, world, clock):
    world.clock.advance(7200)
    clock.turned = timedelta(hours=2)
    world.faults.add(Fault(kind="500", route="flow.session"))
    with pytest.raises(Flow2APIError):
        await acquire(tokens)
    tried = len(world.ledger.sessions[SESSION].times)

    for _ in range(3):
        with pytest.raises(Flow2APIError) as caught:
            await acquire(tokens)
        assert not isinstance(caught.value, FailedPrecondition)
        with pytest.raises(UpstreamUnavailable):
            await credential(tokens, token)

    assert len(world.ledger.sessions[SESSION].times) == tried
    assert (await tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token.state == (
        token_pb2.TOKEN_STATE_ACTIVE
    )


async def test_token_that_could_not_be_renewed_comes_back_by_itself(start_replica, world, clock):
    async with start_replica() as replica:
        await replica.tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))
        fault = world.faults.add(Fault(kind="500", route="flow.session"))
        world.clock.advance(7200)
        clock.turned = timedelta(hours=2)
        await eventually(lambda: world.ledger.sessions[SESSION].times)
        world.faults.remove(fault)
        # Beyond the first pause, which is two minutes at most.
        clock.turned += timedelta(minutes=3)

        answer = await eventually(lambda: acquire(replica.tokens))

        assert world.account_of_bearer(answer.credential.bearer) is world.accounts[SESSION]


async def test_credits_of_tokens_in_use_are_read_on_a_schedule(start_replica, world, clock):
    async with start_replica(credits_refresh_interval=timedelta(minutes=10)) as replica:
        token = (await replica.tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token
        asked = len(world.ledger.sessions[SESSION].times)
        world.accounts[SESSION].credits, world.accounts[SESSION].tier_name = 7, "PAYGATE_TIER_TWO"
        clock.turned = timedelta(minutes=11)

        async def is_read():
            now = (await replica.tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token
            return (now.credits, now.tier) == (7, token_pb2.TIER_TWO)

        await eventually(is_read)
        assert len(world.ledger.sessions[SESSION].times) == asked
