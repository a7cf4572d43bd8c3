"""Adding and changing tokens, proved by the sandbox."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import Conflict, InvalidArgument, NotFound, UpstreamUnavailable
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_sandbox.accounts import KeyState, SessionState
from flow2api_sandbox.faults import Fault

SESSION = "session-token-of-account-0001"


async def add_flow(tokens, secret=SESSION, **fields) -> token_pb2.Token:
    with rpc_errors("token"):
        return (await tokens.CreateToken(pb.CreateTokenRequest(secret=secret, **fields))).token


async def test_session_token_is_exchanged_and_a_project_made(tokens, sandbox):
    account = sandbox.world.add_account(SESSION, credits=920)

    token = await add_flow(tokens, remark="mine")

    assert token.provider == "flow"
    assert token.state == token_pb2.TOKEN_STATE_ACTIVE
    assert (token.tier, token.credits) == (token_pb2.TIER_ONE, 920)
    assert token.email == account.email
    assert token.project_id in account.projects
    assert token.masked_secret == "…0001"
    assert (token.image_concurrency, token.video_concurrency) == (-1, -1)
    assert token.HasField("access_token_expire_time")
    assert token.remark == "mine"


async def test_given_project_is_used(tokens, sandbox):
    account = sandbox.world.add_account(SESSION)

    token = await add_flow(tokens, project_id="p-1", project_name="my project")

    assert (token.project_id, token.project_name) == ("p-1", "my project")
    assert not account.projects


async def test_api_key_is_proved(tokens, sandbox):
    sandbox.world.add_api_key("gemini-key-0123456789")

    token = await add_flow(tokens, "gemini-key-0123456789", provider="gemini")

    assert token.provider == "gemini"
    assert not token.HasField("credits")
    assert not token.project_id


@pytest.mark.parametrize("state", [SessionState.SIGNED_OUT, SessionState.NO_ACCESS_TOKEN, SessionState.LOGIN_PAGE])
async def test_dead_session_is_refused(tokens, sandbox, state):
    sandbox.world.add_account(SESSION).session_state = state

    with pytest.raises(InvalidArgument) as caught:
        await add_flow(tokens)

    assert caught.value.reason == "SECRET_REFUSED"
    assert caught.value.violations[0].field == "secret"
    assert SESSION not in str(caught.value)
    assert (await tokens.ListTokens(pb.ListTokensRequest())).total_size == 0


async def test_unknown_api_key_is_refused(tokens, sandbox):
    with pytest.raises(InvalidArgument):
        await add_flow(tokens, "gemini-key-nobody-knows", provider="gemini")


async def test_unknown_provider_is_refused(tokens):
    with pytest.raises(InvalidArgument):
        await add_flow(tokens, provider="acme")


async def test_secret_that_is_in_the_pool_is_refused(tokens, sandbox):
    sandbox.world.add_account(SESSION)
    await add_flow(tokens)

    with pytest.raises(Conflict):
        await add_flow(tokens)


async def test_upstream_trouble_stores_nothing(tokens, sandbox):
    sandbox.world.add_account(SESSION)
    sandbox.world.faults.add(Fault(kind="500", route="flow.session"))

    with pytest.raises(UpstreamUnavailable):
        await add_flow(tokens)

    assert (await tokens.ListTokens(pb.ListTokensRequest())).total_size == 0


async def test_secrets_are_sealed_in_sql(tokens, sandbox, sqlite_url):
    sandbox.world.add_account(SESSION)
    sandbox.world.add_api_key("gemini-key-0123456789")
    await add_flow(tokens)
    await add_flow(tokens, "gemini-key-0123456789", provider="gemini")

    path = sqlite_url.removeprefix("sqlite+aiosqlite:///")
    stored = await asyncio.to_thread(lambda: Path(path).read_bytes() + Path(f"{path}-wal").read_bytes())

    assert b"sandbox.example" in stored
    assert b"gemini-key-0123456789" not in stored
    assert b"ya29." not in stored


async def test_update_changes_the_named_fields_only(tokens, sandbox):
    sandbox.world.add_account(SESSION)
    token = await add_flow(tokens, remark="old")
    change = token_pb2.Token(token_id=token.token_id, remark="new", image_enabled=False, video_concurrency=3)

    mask = FieldMask(paths=["remark", "video_concurrency"])
    changed = (await tokens.UpdateToken(pb.UpdateTokenRequest(token=change, update_mask=mask))).token

    assert (changed.remark, changed.video_concurrency, changed.image_enabled) == ("new", 3, True)


@pytest.mark.parametrize("path", ["state", "token_id", "credits", ""])
async def test_update_refuses_what_cannot_be_written(tokens, sandbox, path):
    mask = FieldMask(paths=[path] if path else [])

    with pytest.raises(InvalidArgument), rpc_errors("token"):
        await tokens.UpdateToken(pb.UpdateTokenRequest(token=token_pb2.Token(token_id=1), update_mask=mask))


async def test_new_secret_is_proved_and_brings_a_dead_token_back(tokens, sandbox):
    dead = sandbox.world.add_account(SESSION)
    sandbox.world.add_account("session-token-of-account-0002", credits=7)
    token = await add_flow(tokens)
    dead.session_state = SessionState.SIGNED_OUT
    with pytest.raises(Exception, match="no longer accepts"), rpc_errors("token"):
        await tokens.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id))

    request = pb.UpdateTokenRequest(
        token=token_pb2.Token(token_id=token.token_id),
        update_mask=FieldMask(paths=["secret"]),
        secret="session-token-of-account-0002",
    )
    changed = (await tokens.UpdateToken(request)).token

    assert (changed.state, changed.credits) == (token_pb2.TOKEN_STATE_ACTIVE, 7)
    assert changed.masked_secret == "…0002"
    assert changed.project_id != token.project_id


async def test_list_pages_by_id_and_filters(tokens, sandbox):
    for number in range(3):
        sandbox.world.add_account(f"session-token-of-account-{number}")
        await add_flow(tokens, f"session-token-of-account-{number}")
    await tokens.DisableToken(pb.DisableTokenRequest(token_id=2, reason="holiday"))

    first = await tokens.ListTokens(pb.ListTokensRequest(page_size=2))
    second = await tokens.ListTokens(pb.ListTokensRequest(page_size=2, page_token=first.next_page_token))
    disabled = await tokens.ListTokens(pb.ListTokensRequest(state=token_pb2.TOKEN_STATE_DISABLED))

    assert [token.token_id for token in first.tokens] == [1, 2]
    assert [token.token_id for token in second.tokens] == [3]
    assert not second.next_page_token
    assert first.total_size == 3
    assert [(token.token_id, token.state_reason) for token in disabled.tokens] == [(2, "holiday")]


async def test_deleted_token_is_gone(tokens, sandbox):
    sandbox.world.add_account(SESSION)
    token = await add_flow(tokens)

    await tokens.DeleteToken(pb.DeleteTokenRequest(token_id=token.token_id))

    with pytest.raises(NotFound), rpc_errors("token"):
        await tokens.GetToken(pb.GetTokenRequest(token_id=token.token_id))
    assert (await add_flow(tokens)).token_id != token.token_id


async def test_pool_stats_count_states(tokens, sandbox):
    for number in range(2):
        sandbox.world.add_account(f"session-token-of-account-{number}", credits=10)
        await add_flow(tokens, f"session-token-of-account-{number}")
    await tokens.DisableToken(pb.DisableTokenRequest(token_id=2))

    stats = await tokens.GetPoolStats(pb.GetPoolStatsRequest())

    assert stats.token_count == 2
    assert (stats.token_count_by_state["active"], stats.token_count_by_state["disabled"]) == (1, 1)
    assert stats.credits == 20


async def test_suspended_key_is_not_stored(tokens, sandbox):
    sandbox.world.add_api_key("gemini-key-0123456789").state = KeyState.SUSPENDED

    with pytest.raises((InvalidArgument, UpstreamUnavailable)):
        await add_flow(tokens, "gemini-key-0123456789", provider="gemini")

    assert (await tokens.ListTokens(pb.ListTokensRequest())).total_size == 0
