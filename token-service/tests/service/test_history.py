"""What is written down: changes of health, and administrative changes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow2api_common.errors import Flow2APIError
from flow2api_common.grpc_client import rpc_errors
from flow2api_proto.access.v1 import access_service_pb2 as access_pb
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_testing.waiting import eventually

ALICE = (("x-flow2api-actor-bin", "admin:alice ✓".encode()),)


async def add(tokens, session="sandbox-st-1") -> token_pb2.Token:
    with rpc_errors("token"):
        return (await tokens.CreateToken(pb.CreateTokenRequest(secret=session), metadata=ALICE)).token


async def events(tokens, token_id, **page):
    answer = await tokens.ListTokenEvents(pb.ListTokenEventsRequest(token_id=token_id, **page))
    return answer.events, answer.next_page_token


async def audit(access):
    return (await access.ListAuditLog(access_pb.ListAuditLogRequest())).entries


async def end_generation(tokens, outcome: token_pb2.LeaseOutcome, request_id: str) -> None:
    candidate = token_pb2.LeaseCandidate(provider="flow", upstream_model="m")
    request = pb.AcquireLeaseRequest(request_id=request_id, kind=token_pb2.KIND_IMAGE, candidates=[candidate])
    request.lease_duration.FromTimedelta(timedelta(minutes=1))
    lease = (await tokens.AcquireLease(request)).lease
    await tokens.ReleaseLease(pb.ReleaseLeaseRequest(lease=lease, outcome=outcome))


class TestTokenEvents:
    async def test_life_of_a_token_can_be_read(self, tokens, clock):
        token = await add(tokens)
        outcome = token_pb2.LeaseOutcome(
            outcome=token_pb2.OUTCOME_ACCOUNT_QUOTA_EXHAUSTED, upstream_reason="PUBLIC_ERROR_QUOTA"
        )
        outcome.retry_delay.FromTimedelta(timedelta(hours=1))
        await end_generation(tokens, outcome, "one")
        clock.turned = timedelta(hours=2)

        async def is_back():
            (first, *_), _page = await events(tokens, token.token_id)
            return first.actor == "time"

        await eventually(is_back)
        await tokens.DisableToken(pb.DisableTokenRequest(token_id=token.token_id, reason="holiday"), metadata=ALICE)
        await tokens.DeleteToken(pb.DeleteTokenRequest(token_id=token.token_id))

        read, _page = await events(tokens, token.token_id)
        states = token_pb2.TokenState
        assert [(e.actor, e.cause, e.state_before, e.state_after) for e in reversed(read)] == [
            ("admin:alice ✓", "create", states.TOKEN_STATE_UNSPECIFIED, states.TOKEN_STATE_ACTIVE),
            ("generation", "account_quota_exhausted", states.TOKEN_STATE_ACTIVE, states.TOKEN_STATE_PARKED),
            ("time", "pause_over", states.TOKEN_STATE_PARKED, states.TOKEN_STATE_ACTIVE),
            ("admin:alice ✓", "disable", states.TOKEN_STATE_ACTIVE, states.TOKEN_STATE_DISABLED),
        ]
        assert read[2].detail == "PUBLIC_ERROR_QUOTA"
        assert read[2].until_time.ToDatetime() == read[1].event_time.ToDatetime()

    async def test_pages_are_newest_first(self, tokens):
        token = await add(tokens)
        for _ in range(2):
            await tokens.EnableToken(pb.EnableTokenRequest(token_id=token.token_id))

        first, page_token = await events(tokens, token.token_id, page_size=2)
        second, end = await events(tokens, token.token_id, page_size=2, page_token=page_token)

        assert [e.cause for e in [*first, *second]] == ["enable", "enable", "create"]
        assert first[0].actor == "service"
        assert end == ""

    async def test_success_leaves_nothing(self, tokens):
        token = await add(tokens)
        await end_generation(tokens, token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_OK), "one")

        read, _page = await events(tokens, token.token_id)
        assert [e.cause for e in read] == ["create"]


class TestAuditLog:
    async def test_changes_name_who_made_them(self, tokens, access):
        token = await add(tokens)
        update = pb.UpdateTokenRequest(token=token_pb2.Token(token_id=token.token_id, remark="mine"))
        update.update_mask.paths.append("remark")
        await tokens.UpdateToken(update, metadata=ALICE)
        made = await access.CreateApiKey(access_pb.CreateApiKeyRequest(name="app"), metadata=ALICE)
        await access.RevokeApiKey(access_pb.RevokeApiKeyRequest(api_key_id=made.api_key.api_key_id))

        entries = await audit(access)

        key, target = f"api_key/{made.api_key.api_key_id}", f"token/{token.token_id}"
        assert [(e.actor, e.action, e.target, e.detail, e.outcome) for e in reversed(entries)] == [
            ("admin:alice ✓", "token.create", target, "provider: flow", "ok"),
            ("admin:alice ✓", "token.update", target, "fields: remark", "ok"),
            ("admin:alice ✓", "api_key.create", key, "name: app", "ok"),
            ("service", "api_key.revoke", key, "", "ok"),
        ]
        assert all(entry.request_id for entry in entries)

    async def test_change_that_failed_says_why(self, tokens, access):
        with pytest.raises(Flow2APIError):
            await add(tokens, "no-such-session")

        (entry,) = await audit(access)
        assert (entry.action, entry.outcome, entry.target) == ("token.create", "SECRET_REFUSED", "")

    async def test_login_is_an_entry_and_a_wrong_one_is_none(self, access):
        request = access_pb.LoginRequest(username="admin", password="correct horse", client_address="10.0.0.1")
        await access.Login(request)
        request.password = "wrong"
        with pytest.raises(Flow2APIError), rpc_errors("token"):
            await access.Login(request)

        (entry,) = await audit(access)
        assert (entry.actor, entry.action, entry.detail) == ("admin:admin", "admin.login", "address: 10.0.0.1")


async def test_history_is_forgotten_by_setting(start_replica, clock):
    async with start_replica(retention_interval=timedelta(milliseconds=50)) as replica:
        token = await add(replica.tokens)
        clock.turned = timedelta(days=31)

        async def events_are_gone():
            return not (await events(replica.tokens, token.token_id))[0]

        await eventually(events_are_gone)
        assert len(await audit(replica.access)) == 1
        clock.turned = timedelta(days=366)

        async def audit_is_gone():
            return not await audit(replica.access)

        await eventually(audit_is_gone)
