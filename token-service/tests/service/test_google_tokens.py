"""Tokens of Google's clouds: one credential in one project and location, and what each of its troubles does.

Whatever is wrong with one, its owner is told what to do, and the pool goes on without it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import CapacityError, Conflict, FailedPrecondition, InvalidArgument, UpstreamUnavailable
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.ids import new_id
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2_grpc
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_sandbox.identity.accounts import AccountState
from flow2api_sandbox.projects import ProjectState

EMAIL = "sandbox-sa-{0}@sandbox-project-{0}.iam.gserviceaccount.com"
MODEL = "gemini-3.1-flash-image"
PASSPHRASE = "a long enough passphrase"


@dataclass(frozen=True)
class Pool:
    """The token service, asked by Google's words."""

    stub: token_service_pb2_grpc.TokenServiceAsyncStub

    async def add(self, secret, **fields) -> token_pb2.Token:
        text = secret if isinstance(secret, str) else json.dumps(secret)
        with rpc_errors("token"):
            request = pb.CreateTokenRequest(provider="vertex", secret=text, **fields)
            return (await self.stub.CreateToken(request)).token

    async def read(self, token) -> token_pb2.Token:
        return (await self.stub.GetToken(pb.GetTokenRequest(token_id=token.token_id))).token

    async def lease(self, model=MODEL) -> pb.AcquireLeaseResponse:
        request = pb.AcquireLeaseRequest(
            request_id=new_id(),
            kind=token_pb2.KIND_IMAGE,
            candidates=[token_pb2.LeaseCandidate(provider="vertex", upstream_model=model)],
            lease_duration=Duration(seconds=60),
        )
        with rpc_errors("token"):
            return await self.stub.AcquireLease(request, timeout=30)

    async def end(self, lease, outcome, **fields) -> None:
        told = token_pb2.LeaseOutcome(outcome=outcome, **fields)
        await self.stub.ReleaseLease(pb.ReleaseLeaseRequest(lease=lease, outcome=told))

    async def refresh(self, token) -> token_pb2.Token:
        with rpc_errors("token"):
            return (await self.stub.RefreshToken(pb.RefreshTokenRequest(token_id=token.token_id))).token

    async def served(self, count=4, model=MODEL) -> set[str]:
        """The locations that some leases in a row are given in."""
        found = set()
        for _ in range(count):
            answer = await self.lease(model)
            found.add(answer.credential.location)
            await self.end(answer.lease, token_pb2.OUTCOME_OK)
        return found


@pytest.fixture
def pool(tokens) -> Pool:
    return Pool(tokens)


@pytest.fixture
async def two(pool, sandbox) -> list[token_pb2.Token]:
    """One service account in two locations."""
    key = sandbox.service_account_key(1)
    return [await pool.add(key, location=location) for location in ("us-central1", "europe-west4")]


async def test_key_file_is_proved_in_its_project_and_location(pool, sandbox):
    key = sandbox.service_account_key(1)

    token = await pool.add(key, location="us-central1")

    assert (token.email, token.project_id, token.location) == (EMAIL.format(1), "sandbox-project-1", "us-central1")
    assert token.masked_secret == f"…{key['private_key_id'][-8:]}"
    assert token.HasField("access_token_expire_time")
    assert (await pool.add(key)).location == "global"


async def test_one_account_works_in_several_locations_but_once_in_each(pool, sandbox, two):
    assert await pool.served() == {"us-central1", "europe-west4"}
    with rpc_errors("token"):
        secret = (await pool.stub.RevealToken(pb.RevealTokenRequest(token_id=two[0].token_id))).secret
    with pytest.raises(Conflict) as raised:
        await pool.add(secret, location="us-central1")
    assert raised.value.metadata["token_id"] == str(two[0].token_id)


async def test_project_can_be_another_one_and_cannot_be_exchanged(pool, sandbox):
    key = sandbox.service_account_key(1)
    sandbox.world.identity.service_accounts[EMAIL.format(1)].projects.add("sandbox-project-2")

    token = await pool.add(key, project_id="sandbox-project-2")

    assert token.project_id == "sandbox-project-2"
    change = token_pb2.Token(token_id=token.token_id, project_id="sandbox-project-1")
    with pytest.raises(InvalidArgument, match="add another token"), rpc_errors("token"):
        await pool.stub.UpdateToken(pb.UpdateTokenRequest(token=change, update_mask=FieldMask(paths=["project_id"])))


async def test_new_key_replaces_the_old_one_in_its_place(pool, sandbox, two):
    old = two[0]
    new = sandbox.service_account_key(1)
    request = pb.UpdateTokenRequest(
        token=token_pb2.Token(token_id=old.token_id), update_mask=FieldMask(paths=["secret"]), secret=json.dumps(new)
    )
    with rpc_errors("token"):
        changed = (await pool.stub.UpdateToken(request)).token
    assert (changed.location, changed.project_id) == (old.location, old.project_id)
    assert changed.masked_secret != old.masked_secret


async def test_export_keeps_locations(pool, two):
    exported = (await pool.stub.ExportTokens(pb.ExportTokensRequest(passphrase=PASSPHRASE))).sealed
    await pool.stub.DeleteToken(pb.DeleteTokenRequest(token_id=two[1].token_id))
    answer = await pool.stub.ImportTokens(pb.ImportTokensRequest(sealed=exported, passphrase=PASSPHRASE))
    assert [each.status for each in answer.results] == [pb.IMPORT_STATUS_EXISTS, pb.IMPORT_STATUS_ADDED]
    page = await pool.stub.ListTokens(pb.ListTokensRequest())
    assert sorted(token.location for token in page.tokens) == ["europe-west4", "us-central1"]


@pytest.mark.parametrize(
    ("secret", "location"),
    [("sandbox-express-1", "global"), ('{"type": "metadata_server"}', "us-east4")],
)
async def test_keys_and_machines_work_without_a_key_file(pool, secret, location):
    token = await pool.add(secret, location=location)
    assert (token.state, token.location) == (token_pb2.TOKEN_STATE_ACTIVE, location)
    assert (await pool.lease()).credential.bearer


@pytest.mark.parametrize("location", ["evil.example", "us-central1/x", "US", "a" * 60])
async def test_location_that_is_none_is_refused(pool, location):
    with pytest.raises(InvalidArgument) as raised:
        await pool.add("sandbox-express-1", location=location)
    assert raised.value.violations[0].field == "location"


class TestAdding:
    """What is wrong is said to whoever adds the credential."""

    @pytest.mark.parametrize(
        ("state", "word"),
        [
            (ProjectState.BILLING_DISABLED, "link a billing account"),
            (ProjectState.SERVICE_DISABLED, "aiplatform.googleapis.com"),
            (ProjectState.SUSPENDED, "suspended"),
        ],
    )
    async def test_project_that_may_not(self, pool, sandbox, state, word):
        sandbox.world.project("sandbox-project-1").state = state
        with pytest.raises(InvalidArgument, match=word) as raised:
            await pool.add(sandbox.service_account_key(1))
        assert raised.value.reason == "SECRET_REFUSED"

    async def test_missing_role(self, pool, sandbox):
        with pytest.raises(InvalidArgument, match=r"roles/aiplatform\.user"):
            await pool.add(sandbox.service_account_key(1), project_id="sandbox-project-2")

    async def test_revoked_key(self, pool, sandbox):
        key = sandbox.service_account_key(1)
        sandbox.world.identity.service_accounts[EMAIL.format(1)].keys.clear()
        with pytest.raises(InvalidArgument, match="Make a new key"):
            await pool.add(key)

    async def test_document_that_lacks_something(self, pool):
        with pytest.raises(InvalidArgument, match="'private_key'"):
            await pool.add({"type": "service_account", "client_email": "e"})

    async def test_wrong_clock(self, pool, sandbox):
        sandbox.world.identity.clock_skew_seconds = 7200
        with pytest.raises(UpstreamUnavailable, match="NTP"):
            await pool.add(sandbox.service_account_key(1))


class TestInThePool:
    """What goes wrong later takes one token out; the others serve on."""

    async def test_revoked_key_is_switched_off_and_says_why(self, pool, sandbox, two):
        other = await pool.add(sandbox.service_account_key(2), location="asia-east1")
        sandbox.world.identity.service_accounts[EMAIL.format(1)].keys.clear()
        for token in two:
            with pytest.raises(FailedPrecondition):
                await pool.refresh(token)
            token = await pool.read(token)
            assert (token.state, token.state_reason) == (token_pb2.TOKEN_STATE_DISABLED, "key_revoked")
            assert "Make a new key" in token.state_message
        assert await pool.served() == {other.location}

    async def test_disabled_account_is_switched_off(self, pool, sandbox, two):
        sandbox.world.identity.service_accounts[EMAIL.format(1)].state = AccountState.DISABLED
        with pytest.raises(FailedPrecondition):
            await pool.refresh(two[0])
        assert (await pool.read(two[0])).state_reason == "account_disabled"

    @pytest.mark.parametrize("reason", ["BILLING_DISABLED", "SERVICE_DISABLED", "CONSUMER_SUSPENDED"])
    async def test_project_that_may_not_is_parked_by_the_first_word(self, pool, two, reason):
        answer = await pool.lease()
        await pool.end(answer.lease, token_pb2.OUTCOME_FORBIDDEN, upstream_reason=reason)
        parked = next(token for token in two if token.token_id == answer.lease.token_id)
        parked = await pool.read(parked)
        assert (parked.state, parked.state_reason) == (token_pb2.TOKEN_STATE_PARKED, reason.lower())
        assert parked.state_message
        assert await pool.served() == {"us-central1", "europe-west4"} - {parked.location}

    async def test_billing_that_ends_is_found_by_the_refresh(self, pool, sandbox, two):
        sandbox.world.project("sandbox-project-1").state = ProjectState.BILLING_DISABLED
        token = await pool.refresh(two[0])
        assert (token.state, token.state_reason) == (token_pb2.TOKEN_STATE_PARKED, "billing_disabled")

    @pytest.mark.parametrize(
        ("outcome", "reason", "word"),
        [
            (token_pb2.OUTCOME_MODEL_QUOTA_EXHAUSTED, "quota", "midnight"),
            (token_pb2.OUTCOME_MODEL_NOT_HERE, "model_not_here", "location"),
            (token_pb2.OUTCOME_RATE_LIMITED, "rate_limited", "pause"),
        ],
    )
    async def test_trouble_of_one_model_rests_it_in_that_location_alone(self, pool, two, outcome, reason, word):
        answer = await pool.lease()
        rested = answer.credential.location
        await pool.end(answer.lease, outcome, retry_delay=Duration(seconds=3600))
        assert await pool.served() == {"us-central1", "europe-west4"} - {rested}
        assert await pool.served(model="veo-3.1-fast-generate-001") == {"us-central1", "europe-west4"}
        token = await pool.read(next(each for each in two if each.location == rested))
        assert token.state == token_pb2.TOKEN_STATE_ACTIVE
        assert [(rest.upstream_model, rest.reason) for rest in token.rests] == [(MODEL, reason)]
        assert word in token.rests[0].message

    async def test_a_quota_rests_all_accounts_of_its_project_in_that_location(self, pool, sandbox, two):
        sandbox.world.identity.service_accounts[EMAIL.format(2)].projects.add("sandbox-project-1")
        other = await pool.add(sandbox.service_account_key(2), project_id="sandbox-project-1", location=two[0].location)
        while (taken := await pool.lease()).lease.token_id != two[0].token_id:
            await pool.end(taken.lease, token_pb2.OUTCOME_OK)

        await pool.end(taken.lease, token_pb2.OUTCOME_MODEL_QUOTA_EXHAUSTED)

        rests = [(await pool.read(token)).rests for token in (two[0], other, two[1])]
        assert [[rest.reason for rest in each] for each in rests] == [["quota"], ["quota"], []]
        assert rests[0][0].until_time == rests[1][0].until_time
        assert await pool.served() == {"europe-west4"}

    async def test_a_tokens_own_limits_are_set_and_taken_back(self, pool, two):
        await pool.stub.DeleteToken(pb.DeleteTokenRequest(token_id=two[1].token_id))
        limits = [token_pb2.ModelLimit(upstream_model="gemini-*", concurrency=1)]
        mask = FieldMask(paths=["model_limits"])
        change = token_pb2.Token(token_id=two[0].token_id, model_limits=limits)
        await pool.stub.UpdateToken(pb.UpdateTokenRequest(token=change, update_mask=mask))
        await pool.lease()
        with pytest.raises(CapacityError):
            await pool.lease()
        change.ClearField("model_limits")
        await pool.stub.UpdateToken(pb.UpdateTokenRequest(token=change, update_mask=mask))
        await pool.lease()

    async def test_several_models_at_their_limits_do_not_cool_the_whole_token(self, pool, sandbox):
        token = await pool.add(sandbox.service_account_key(1))
        for model in ("a", "b", "c"):
            answer = await pool.lease(model)
            await pool.end(answer.lease, token_pb2.OUTCOME_RATE_LIMITED, retry_delay=Duration(seconds=3600))
        assert (await pool.read(token)).state == token_pb2.TOKEN_STATE_ACTIVE
        assert await pool.served(1, "d") == {"global"}
        with pytest.raises(CapacityError):
            await pool.lease("a")

    async def test_wrong_clock_kills_nothing_says_so_and_heals(self, pool, sandbox, two):
        sandbox.world.identity.clock_skew_seconds = 7200
        with pytest.raises(UpstreamUnavailable):
            await pool.refresh(two[0])
        token = await pool.read(two[0])
        assert (token.state, token.refresh_problem) == (token_pb2.TOKEN_STATE_ACTIVE, "clock_wrong")
        assert "NTP" in token.state_message
        sandbox.world.identity.clock_skew_seconds = 0
        token = await pool.refresh(two[0])
        assert (token.refresh_problem, token.state_message) == ("", "")


class TestModelThatNoLocationHas:
    async def lose(self, pool) -> tuple[pb.ReleaseLeaseResponse, pb.ReleaseLeaseResponse]:
        """Both locations say in turn that there is no such model."""
        told = token_pb2.LeaseOutcome(outcome=token_pb2.OUTCOME_MODEL_NOT_HERE)
        first, second = [
            await pool.stub.ReleaseLease(pb.ReleaseLeaseRequest(lease=(await pool.lease()).lease, outcome=told))
            for _ in range(2)
        ]
        return first, second

    async def test_the_last_one_tells_and_nobody_waits_for_it(self, pool, two):
        first, second = await self.lose(pool)
        assert (first.nowhere_at_provider, second.nowhere_at_provider) == ("", "vertex")
        with pytest.raises(FailedPrecondition, match="has no such model") as refused:
            await pool.lease()
        assert refused.value.reason == "NO_ELIGIBLE_TOKEN"
        (passed,) = json.loads(refused.value.metadata["passed_by"])
        assert (passed["candidate"], passed["tokens"], passed["nowhere"]) == (0, {"model_not_here": 2}, True)
        assert await pool.served(model="gemini-3-pro-image") == {"us-central1", "europe-west4"}

    async def test_a_person_can_have_them_asked_again(self, pool, two):
        await self.lose(pool)
        request = pb.ForgetModelAbsenceRequest(provider="vertex", upstream_model=MODEL)
        assert (await pool.stub.ForgetModelAbsence(request)).token_count == 2
        assert (await pool.stub.ForgetModelAbsence(request)).token_count == 0
        assert await pool.served() == {"us-central1", "europe-west4"}
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await pool.stub.ForgetModelAbsence(pb.ForgetModelAbsenceRequest(provider="vertex"))

    async def test_a_new_credential_is_noticed(self, pool, sandbox, two):
        since = Timestamp()
        since.GetCurrentTime()

        async def found(provider="vertex") -> bool:
            request = pb.FindNewTokenRequest(provider=provider, since_time=since)
            return (await pool.stub.FindNewToken(request)).found

        await self.lose(pool)
        assert not await found()
        await pool.stub.DisableToken(pb.DisableTokenRequest(token_id=two[0].token_id))
        assert not await found()
        await pool.stub.EnableToken(pb.EnableTokenRequest(token_id=two[0].token_id))
        assert await found()
        since.GetCurrentTime()
        assert not await found()
        await pool.add(sandbox.service_account_key(1), location="global")
        assert await found()
        assert not await found("gemini")
        with pytest.raises(InvalidArgument), rpc_errors("token"):
            await pool.stub.FindNewToken(pb.FindNewTokenRequest(provider="vertex"))


async def test_an_answer_says_why_routes_before_it_were_passed_by(pool, two):
    for token in two:
        change = token_pb2.Token(token_id=token.token_id, image_enabled=False)
        mask = FieldMask(paths=["image_enabled"])
        await pool.stub.UpdateToken(pb.UpdateTokenRequest(token=change, update_mask=mask))
    only = await pool.add(await stored_key(pool), location="us-east4")
    names = ("gone", MODEL)
    request = pb.AcquireLeaseRequest(
        request_id=new_id(),
        kind=token_pb2.KIND_IMAGE,
        candidates=[token_pb2.LeaseCandidate(provider="vertex", upstream_model=name) for name in names],
        lease_duration=Duration(seconds=60),
    )
    first = await pool.lease("gone")
    await pool.end(first.lease, token_pb2.OUTCOME_MODEL_QUOTA_EXHAUSTED, retry_delay=Duration(seconds=3600))
    answer = await pool.stub.AcquireLease(request)
    assert (answer.lease.token_id, answer.candidate_index) == (only.token_id, 1)
    (passed,) = answer.passed
    assert dict(passed.token_counts) == {"kind_off": 2, "quota": 1}
    assert passed.HasField("earliest_time")


async def stored_key(pool) -> str:
    tokens = (await pool.stub.ListTokens(pb.ListTokensRequest())).tokens
    with rpc_errors("token"):
        return (await pool.stub.RevealToken(pb.RevealTokenRequest(token_id=tokens[0].token_id))).secret
