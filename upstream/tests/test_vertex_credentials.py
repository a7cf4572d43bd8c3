"""What may be pasted as a credential of Vertex, and what becomes of it at Google's token endpoint."""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from flow2api_sandbox.accounts import KeyState
from flow2api_sandbox.identity.accounts import AccountState
from flow2api_sandbox.projects import ProjectState
from flow2api_upstream.google.advice import ADVICE
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import FailureClass as F
from flow2api_upstream.port import Secret, UpstreamFailure
from flow2api_upstream.vertex.bearer import VertexBearer
from flow2api_upstream.vertex.credential import ServiceAccountKey, read_credential
from flow2api_upstream.vertex.provider import VertexProvider

EMAIL = "sandbox-sa-1@sandbox-project-1.iam.gserviceaccount.com"
USER = {
    "type": "authorized_user",
    "client_id": "sandbox-client-1.apps.googleusercontent.com",
    "client_secret": "sandbox-client-secret-1",
    "refresh_token": "sandbox-refresh-token-1",
    "quota_project_id": "sandbox-project-1",
}


async def refused(call):
    with pytest.raises(UpstreamFailure) as raised:
        await call
    return raised.value


def key_file(**changes):
    key = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k",
        "private_key": "pem",
        "client_email": "e",
    }
    return Secret(json.dumps(key | changes))


class TestDocuments:
    def test_service_account_key_is_read_and_shows_no_key(self):
        credential = read_credential(key_file())
        assert credential == ServiceAccountKey("e", "pem", "k", "p")
        assert "pem" not in repr(credential)

    @pytest.mark.parametrize(
        ("document", "word"),
        [
            ('{"type": "service_account"', "no JSON"),
            ("{}", "'type'"),
            ('{"type": "external_account"}', "federation"),
            (key_file(private_key="").value, "'private_key'"),
            (key_file(client_email=7).value, "'client_email'"),
            (key_file(universe_domain="example.cloud").value, "universe_domain"),
            (json.dumps(USER | {"refresh_token": None}), "'refresh_token'"),
            ('{"type": "metadata_server", "account": "../x"}', "'account'"),
        ],
    )
    def test_what_is_wrong_with_a_document_is_said(self, document, word):
        with pytest.raises(UpstreamFailure) as raised:
            read_credential(Secret(document))
        assert (raised.value.failure_class, raised.value.reason) == (F.AUTH, "key_unreadable")
        assert word in raised.value.advice

    async def test_damaged_private_key_is_said_without_showing_it(self, vertex):
        failure = await refused(vertex.refresh(key_file(private_key="-----BEGIN PRIVATE KEY-----\nhidden\n")))
        assert (failure.failure_class, failure.reason) == (F.AUTH, "key_unreadable")
        assert "hidden" not in f"{failure} {failure.advice} {failure.__cause__!r}"

    @pytest.mark.parametrize(
        "bearer", [VertexBearer("a"), VertexBearer("k", is_key=True), VertexBearer("a", quota_project="p")]
    )
    def test_bearer_survives_the_pool(self, bearer):
        assert VertexBearer.read(bearer.text()) == bearer


class TestGrants:
    async def test_service_account_buys_a_token_that_ends(self, vertex, vertex_secret):
        before = datetime.now(UTC)
        grant = await vertex.refresh(vertex_secret)
        assert (grant.email, grant.project_id) == (EMAIL, "sandbox-project-1")
        assert before + timedelta(minutes=30) < grant.expire_time <= datetime.now(UTC) + timedelta(hours=1)

    async def test_user_names_the_project_that_pays(self, vertex, vertex_account):
        grant = await vertex.refresh(Secret(json.dumps(USER)))
        assert grant.project_id == "sandbox-project-1"
        assert VertexBearer.read(grant.bearer).headers()["x-goog-user-project"] == "sandbox-project-1"
        await vertex.probe(dataclasses.replace(vertex_account, bearer=grant.bearer))

    @pytest.mark.parametrize("kind", ["metadata_server", "application_default"])
    async def test_machine_has_an_account_of_its_own(self, vertex, vertex_account, kind):
        grant = await vertex.refresh(Secret(json.dumps({"type": kind})))
        assert (grant.email, grant.project_id) == (EMAIL, "sandbox-project-1")
        await vertex.probe(dataclasses.replace(vertex_account, bearer=grant.bearer))

    async def test_file_of_the_machine_is_read_at_each_refresh(self, patient_settings, tmp_path):
        file = tmp_path / "adc.json"
        file.write_text(json.dumps(USER))
        settings = patient_settings.model_copy(update={"google_application_credentials": str(file)})
        provider = VertexProvider(settings, HttpClient(settings))
        secret = Secret('{"type": "application_default"}')
        assert (await provider.refresh(secret)).project_id == "sandbox-project-1"
        file.unlink()
        failure = await refused(provider.refresh(secret))
        assert (failure.failure_class, failure.reason) == (F.UPSTREAM, "no_credentials_file")
        await provider.aclose()

    async def test_express_key_needs_no_exchange_and_no_project(self, vertex, vertex_account):
        grant = await vertex.refresh(Secret("sandbox-express-1"))
        assert grant.expire_time is None
        await vertex.probe(dataclasses.replace(vertex_account, bearer=grant.bearer, project_id="", location="global"))


class TestRefusals:
    """The token endpoint's words, and whether they are for ever."""

    async def test_revoked_key_is_dead(self, vertex, vertex_secret, sandbox):
        sandbox.world.identity.service_accounts[EMAIL].keys.clear()
        failure = await refused(vertex.refresh(vertex_secret))
        assert (failure.failure_class, failure.reason) == (F.AUTH, "key_revoked")

    @pytest.mark.parametrize(
        ("state", "reason"),
        [(AccountState.DISABLED, "account_disabled"), (AccountState.DELETED, "account_not_found")],
    )
    async def test_account_that_is_gone_is_dead(self, vertex, vertex_secret, sandbox, state, reason):
        sandbox.world.identity.service_accounts[EMAIL].state = state
        failure = await refused(vertex.refresh(vertex_secret))
        assert (failure.failure_class, failure.reason) == (F.AUTH, reason)
        assert failure.advice == ADVICE[reason].text

    @pytest.mark.parametrize("hours", [-3, 3])
    async def test_wrong_clock_is_told_and_kills_no_credential(self, patient_settings, vertex_secret, hours):
        def clock():
            return datetime.now(UTC) + timedelta(hours=hours)

        provider = VertexProvider(patient_settings, HttpClient(patient_settings), clock=clock)
        failure = await refused(provider.refresh(vertex_secret))
        assert (failure.failure_class, failure.reason) == (F.UPSTREAM, "clock_wrong")
        assert "NTP" in failure.advice
        await provider.aclose()

    async def test_ended_sign_in_of_a_user_is_dead(self, vertex):
        failure = await refused(vertex.refresh(Secret(json.dumps(USER | {"refresh_token": "ended"}))))
        assert (failure.failure_class, failure.reason) == (F.AUTH, "refresh_token_revoked")
        failure = await refused(vertex.refresh(Secret(json.dumps(USER | {"client_secret": "other"}))))
        assert (failure.failure_class, failure.reason) == (F.AUTH, "oauth_client_refused")

    async def test_machine_without_an_account_may_get_one(self, vertex, sandbox):
        sandbox.world.identity.machine_account = None
        failure = await refused(vertex.refresh(Secret('{"type": "metadata_server"}')))
        assert (failure.failure_class, failure.reason) == (F.UPSTREAM, "no_metadata_server")

    @pytest.mark.parametrize("kind", ["429", "500", "503", "malformed", "reset"])
    async def test_passing_trouble_proves_nothing(self, vertex, vertex_secret, add_fault, kind):
        add_fault(kind, route="oauth.token", times=1)
        failure = await refused(vertex.refresh(vertex_secret))
        assert failure.failure_class in {F.THROTTLED, F.UPSTREAM, F.NETWORK}
        assert await vertex.refresh(vertex_secret)


class TestProof:
    """What `probe` says about a project."""

    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            (ProjectState.BILLING_DISABLED, "BILLING_DISABLED"),
            (ProjectState.SERVICE_DISABLED, "SERVICE_DISABLED"),
            (ProjectState.SUSPENDED, "CONSUMER_SUSPENDED"),
        ],
    )
    async def test_project_that_may_not(self, vertex, vertex_account, sandbox, state, reason):
        sandbox.world.project("sandbox-project-1").state = state
        failure = await refused(vertex.probe(vertex_account))
        assert (failure.failure_class, failure.reason) == (F.FORBIDDEN, reason)
        assert failure.advice == ADVICE[reason.lower()].text

    async def test_account_without_its_role(self, vertex, vertex_account):
        failure = await refused(vertex.probe(dataclasses.replace(vertex_account, project_id="sandbox-project-2")))
        assert (failure.failure_class, failure.reason) == (F.FORBIDDEN, "IAM_PERMISSION_DENIED")
        assert "roles/aiplatform.user" in failure.advice

    async def test_location_without_the_model_is_no_fault_of_the_account(self, vertex, vertex_account, sandbox):
        from flow2api_sandbox.projects import Availability

        sandbox.world.availability.add(Availability(model="gemini-*", location="us-central1", is_served=False))
        assert (await vertex.probe(vertex_account)).credits is None

    async def test_no_project_is_said(self, vertex, vertex_account):
        failure = await refused(vertex.probe(dataclasses.replace(vertex_account, project_id="")))
        assert (failure.failure_class, failure.reason) == (F.AUTH, "no_project")

    @pytest.mark.parametrize("location", ["", "evil.example/", "us-central1.evil", "US"])
    async def test_location_cannot_change_the_host(self, vertex, vertex_account, location):
        failure = await refused(vertex.probe(dataclasses.replace(vertex_account, location=location)))
        assert (failure.failure_class, failure.reason) == (F.BAD_INPUT, "location")

    @pytest.mark.parametrize(
        ("state", "reason"),
        [(KeyState.BLOCKED, "API_KEY_SERVICE_BLOCKED"), (KeyState.BILLING_DISABLED, "BILLING_DISABLED")],
    )
    async def test_key_of_the_gemini_api_says_what_is_wrong_with_it(
        self, gemini, gemini_account, sandbox, state, reason
    ):
        sandbox.world.api_keys[gemini_account.bearer].state = state
        failure = await refused(gemini.probe(gemini_account))
        assert (failure.failure_class, failure.reason) == (F.FORBIDDEN, reason)
        assert failure.advice == ADVICE[reason.lower()].text


def test_assertion_says_what_google_wants(vertex_secret):
    from flow2api_upstream.vertex.assertion import _sign

    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    header, claims, _ = _sign(read_credential(vertex_secret), now).split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert decoded["exp"] - decoded["iat"] == 3600
    assert decoded["iat"] < now.timestamp()
    assert decoded["aud"] == "https://oauth2.googleapis.com/token"
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
