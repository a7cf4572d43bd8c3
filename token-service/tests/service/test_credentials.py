"""Bearers: renewed when due, once at a time, and what dead sessions and bad networks do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from flow2api_common.errors import FailedPrecondition, NotFound, UpstreamError
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_sandbox.accounts import SessionState
from flow2api_sandbox.faults import Fault
from flow2api_testing.waiting import eventually

SESSION = "session-token-of-account-0001"


@pytest.fixture
async def token(tokens, sandbox) -> token_pb2.Token:
    sandbox.world.add_account(SESSION, credits=100)
    return (await tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token


async def acquire(tokens) -> pb.AcquireLeaseResponse:
    request = pb.AcquireLeaseRequest(
        request_id=new_id(),
        kind=token_pb2.KIND_IMAGE,
        candidates=[token_pb2.LeaseCandidate(provider="flow", upstream_model="m")],
        lease_duration=Duration(seconds=60),
    )
    with rpc_errors("token"):
        return await tokens.AcquireLease(request)


async def credential(tokens, token, rejected_version=0) -> token_pb2.Credential:
    request = pb.GetCredentialRequest(token_id=token.token_id, rejected_version=rejected_version)
    with rpc_errors("token"):
        return (await tokens.GetCredential(request)).credential


async def read(tokens, token) -> token_pb2.Token:
    return (await tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token


async def test_rejected_bearer_is_renewed_once_for_all_who_ask(tokens, sandbox, token):
    old = await credential(tokens, token)
    sandbox.world.expire_access_tokens(SESSION)

    answers = await asyncio.gather(*(credential(tokens, token, old.version) for _ in range(10)))

    assert {answer.version for answer in answers} == {old.version + 1}
    assert {answer.bearer for answer in answers} != {old.bearer}
    assert (await credential(tokens, token, old.version)).version == old.version + 1


async def test_bearer_that_has_ended_is_renewed_before_a_lease_is_answered(start_replica, sandbox, clock):
    async with start_replica(refresh_interval=timedelta(hours=1)) as replica:
        sandbox.world.add_account(SESSION)
        token = (await replica.tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token
        first = await acquire(replica.tokens)
        clock.turned = timedelta(hours=2)
        sandbox.world.clock.advance(7200)

        second = await acquire(replica.tokens)

        assert second.credential.version == first.credential.version + 1
        assert second.credential.expire_time.ToDatetime() > token.access_token_expire_time.ToDatetime()


async def test_background_renews_before_the_end(tokens, sandbox, token, clock):
    sandbox.world.clock.advance(56 * 60)
    clock.turned = timedelta(minutes=56)

    async def is_renewed():
        return (await read(tokens, token)).access_token_expire_time != token.access_token_expire_time

    await eventually(is_renewed)


async def test_replicas_share_one_refresh(start_replica, sandbox):
    async with start_replica() as one, start_replica() as two:
        sandbox.world.add_account(SESSION)
        token = (await one.tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token
        version = (await credential(one.tokens, token)).version
        sandbox.world.faults.add(Fault(kind="delay", route="flow.session", delay=0.2))

        answers = await asyncio.gather(
            *(credential(replica.tokens, token, version) for replica in (one, two) for _ in range(5))
        )

        assert {answer.version for answer in answers} == {version + 1}


async def test_rotated_session_is_kept(tokens, sandbox, token):
    account = sandbox.world.accounts[SESSION]
    account.rotate_session_token = True
    await tokens.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id))

    assert (await credential(tokens, token)).session_token == account.session_token
    assert account.session_token != SESSION


async def test_refresh_reads_credits_and_tier(tokens, sandbox, token):
    account = sandbox.world.accounts[SESSION]
    account.credits, account.tier_name = 5, "PAYGATE_TIER_TWO"

    refreshed = (await tokens.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id))).token

    assert (refreshed.credits, refreshed.tier) == (5, token_pb2.TIER_TWO)


async def test_dead_session_disables_the_token(tokens, sandbox, token):
    sandbox.world.accounts[SESSION].session_state = SessionState.SIGNED_OUT
    version = (await credential(tokens, token)).version

    with pytest.raises(FailedPrecondition) as caught:
        await credential(tokens, token, version)

    dead = await read(tokens, token)
    assert caught.value.reason == "SESSION_DEAD"
    assert (dead.state, dead.state_reason) == (token_pb2.TOKEN_STATE_DISABLED, "st_expired")
    with pytest.raises(FailedPrecondition) as caught:
        await acquire(tokens)
    assert caught.value.reason == "NO_ELIGIBLE_TOKEN"


async def test_bearer_that_the_upstream_refuses_when_fresh_disables_the_token(tokens, sandbox, token):
    sandbox.world.faults.add(Fault(kind="401", route="flow.credits"))
    version = (await credential(tokens, token)).version

    with pytest.raises(FailedPrecondition):
        await credential(tokens, token, version)

    assert (await read(tokens, token)).state_reason == "st_expired"


@pytest.mark.parametrize("kind", ["500", "reset", "429", "malformed"])
async def test_trouble_on_the_way_never_disables(tokens, sandbox, token, kind):
    sandbox.world.faults.add(Fault(kind=kind, route="flow.session"))
    version = (await credential(tokens, token)).version

    with pytest.raises(UpstreamError):
        await credential(tokens, token, version)

    assert (await read(tokens, token)).state == token_pb2.TOKEN_STATE_ACTIVE
    assert (await acquire(tokens)).credential.version == version


async def test_dead_token_is_passed_over_for_the_next(start_replica, sandbox, clock):
    async with start_replica(refresh_interval=timedelta(hours=1)) as replica:
        for number in (1, 2):
            sandbox.world.add_account(f"session-token-of-account-{number}")
            secret = f"session-token-of-account-{number}"
            await replica.tokens.CreateToken(pb.CreateTokenRequest(secret=secret))
        clock.turned = timedelta(hours=2)
        sandbox.world.clock.advance(7200)
        sandbox.world.accounts["session-token-of-account-1"].session_state = SessionState.SIGNED_OUT

        answer = await acquire(replica.tokens)

        assert answer.lease.token_id == 2
        assert (await replica.tokens.GetPoolStats(pb.GetPoolStatsRequest())).image_leases == 1


async def test_api_key_is_its_own_bearer_and_dies_when_refused(tokens, sandbox):
    sandbox.world.add_api_key("gemini-key-0123456789")
    request = pb.CreateTokenRequest(secret="gemini-key-0123456789", provider="gemini")
    token = (await tokens.CreateToken(request)).token
    first = await credential(tokens, token)

    assert first.bearer == "gemini-key-0123456789"
    assert not first.session_token
    assert (await credential(tokens, token, first.version)).bearer == first.bearer
    del sandbox.world.api_keys["gemini-key-0123456789"]
    with pytest.raises(FailedPrecondition):
        await credential(tokens, token, first.version)
    assert (await read(tokens, token)).state == token_pb2.TOKEN_STATE_DISABLED


async def test_unknown_token_is_not_found(tokens):
    with pytest.raises(NotFound):
        await credential(tokens, token_pb2.Token(token_id=99))


async def test_secrets_survive_a_restart_with_the_same_key(start_replica, sandbox):
    sandbox.world.add_account(SESSION)
    async with start_replica() as first:
        token = (await first.tokens.CreateToken(pb.CreateTokenRequest(secret=SESSION))).token
        bearer = (await credential(first.tokens, token)).bearer

    async with start_replica() as second:
        assert (await credential(second.tokens, token)).bearer == bearer
