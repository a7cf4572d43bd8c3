"""The token endpoint and the metadata server, strict about everything that they are shown."""

import asyncio
import base64
import json
import time
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import compute_engine
from google.auth.transport.requests import Request

from flow2api_testing.google_cloud import CLOUD_PLATFORM, CloudClient, error_of

SHORT_LIVED = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp"
    " values in the JWT claim."
)
ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
FLAVOR = {"metadata-flavor": "Google"}
FORM = {
    "grant_type": "refresh_token",
    "client_id": "sandbox-client-1.apps.googleusercontent.com",
    "client_secret": "sandbox-client-secret-1",
    "refresh_token": "sandbox-refresh-token-1",
}


async def refusal_of(cloud, assertion: str) -> tuple[int, str, str]:
    answer = await cloud.grant(assertion)
    body = answer.json()
    return answer.status_code, body["error"], body["error_description"]


class TestAssertions:
    async def test_good_one_buys_a_bearer_of_an_hour(self, cloud):
        body = (await cloud.grant(cloud.assertion())).json()
        assert body == {"access_token": body["access_token"], "expires_in": 3599, "token_type": "Bearer"}
        assert body["access_token"].startswith("ya29.c.")

    @pytest.mark.parametrize(
        ("claims", "status", "error", "description"),
        [
            ({"aud": "http://127.0.0.1/token"}, 400, "invalid_grant", "Failed audience check"),
            ({"scope": None}, 400, "invalid_scope", "Empty or missing scope not allowed."),
            ({"scope": "https://www.googleapis.com/auth/nonsense"}, 400, "invalid_scope", "Invalid OAuth scope"),
            ({"iss": "nobody@nowhere.iam.gserviceaccount.com"}, 400, "invalid_grant", "account not found"),
            ({"iss": None}, 400, "invalid_grant", "iss: Field required"),
            ({"sub": "somebody@example.com"}, 401, "unauthorized_client", "Client is unauthorized"),
            ({"iat": timedelta(seconds=120)}, 400, "invalid_grant", SHORT_LIVED),
            ({"iat": timedelta(seconds=-4000), "exp": timedelta(seconds=-400)}, 400, "invalid_grant", SHORT_LIVED),
            ({"exp": timedelta(seconds=7200)}, 400, "invalid_grant", SHORT_LIVED),
        ],
    )
    async def test_claim_that_is_wrong_is_named(self, cloud, claims, status, error, description):
        now = int(time.time())
        told = {
            name: now + int(claim.total_seconds()) if isinstance(claim, timedelta) else claim
            for name, claim in claims.items()
        }
        got = await refusal_of(cloud, cloud.assertion(**told))
        assert got[:2] == (status, error)
        assert description in got[2]

    async def test_changed_claims_break_the_signature(self, cloud):
        header, payload, signature = cloud.assertion().split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        changed = base64.urlsafe_b64encode(json.dumps(claims | {"exp": claims["exp"] - 1}).encode()).decode()
        got = await refusal_of(cloud, f"{header}.{changed.rstrip('=')}.{signature}")
        assert got == (400, "invalid_grant", "Invalid JWT Signature.")

    @pytest.mark.parametrize("assertion", ["x", "a.b.c", "a.b", "é.b.c", f"{'x' * 200}.e30.e30"])
    async def test_nonsense_is_refused(self, cloud, assertion):
        assert (await refusal_of(cloud, assertion))[:2] == (400, "invalid_grant")

    async def test_other_algorithm_is_refused(self, cloud):
        unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        got = await refusal_of(cloud, f"{unsigned}.{cloud.assertion().split('.')[1]}.")
        assert got[:2] == (400, "invalid_grant")

    async def test_unknown_key_id_is_a_bad_signature(self, cloud):
        got = await refusal_of(cloud, cloud.assertion(key_id="other"))
        assert got[2] == "Invalid JWT Signature."

    async def test_revoked_key_is_a_bad_signature(self, cloud, http):
        path = f"/service-accounts/{cloud.email}/keys/{cloud.key['private_key_id']}"
        assert (await http.delete(cloud.sandbox.control_url + path)).status_code == 204
        got = await refusal_of(cloud, cloud.assertion())
        assert got == (400, "invalid_grant", "Invalid JWT Signature.")

    @pytest.mark.parametrize(("state", "words"), [("deleted", "account not found"), ("disabled", "disabled")])
    async def test_account_that_is_gone_loses_its_bearers_too(self, cloud, state, words):
        await cloud.control("/service-accounts", {"email": cloud.email, "state": state})
        assert words in (await refusal_of(cloud, cloud.assertion()))[2]
        assert (await cloud.picture()).status_code == 401

    @pytest.mark.parametrize("seconds", [-600, 7200])
    async def test_wrong_clock_is_told_as_such(self, cloud, seconds):
        await cloud.control("/clock-skew", {"seconds": seconds})
        assert await refusal_of(cloud, cloud.assertion()) == (400, "invalid_grant", SHORT_LIVED)

    async def test_key_made_elsewhere_is_good_once_registered(self, cloud):
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        secret = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        cloud.key = {"client_email": cloud.email, "private_key": secret.decode(), "private_key_id": "mine"}
        assert (await refusal_of(cloud, cloud.assertion()))[2] == "Invalid JWT Signature."
        body = {"public_key": pem.decode(), "private_key_id": "mine"}
        await cloud.control(f"/service-accounts/{cloud.email}/keys", body)
        assert (await cloud.grant(cloud.assertion())).status_code == 200

    @pytest.mark.parametrize(
        ("kind", "status", "error"),
        [
            ("429", 429, "rate_limit_exceeded"),
            ("500", 500, "internal_failure"),
            ("503", 503, "temporarily_unavailable"),
        ],
    )
    async def test_passing_trouble_has_oauth_s_words(self, cloud, kind, status, error):
        await cloud.control("/faults", {"kind": kind, "route": "oauth.token", "account": cloud.email})
        assert (await refusal_of(cloud, cloud.assertion()))[:2] == (status, error)


class TestForms:
    @pytest.mark.parametrize(
        ("form", "error"),
        [
            ({}, "invalid_request"),
            ({"grant_type": "password"}, "unsupported_grant_type"),
            ({"grant_type": "refresh_token"}, "invalid_request"),
        ],
    )
    async def test_incomplete_form_is_refused(self, cloud, form, error):
        answer = await cloud.token(**form)
        assert (answer.status_code, answer.json()["error"]) == (400, error)

    async def test_json_is_no_form(self, cloud, http):
        answer = await http.post(cloud.sandbox.token_url, json={"grant_type": "refresh_token"})
        assert answer.json()["error"] == "invalid_request"


class TestUsers:
    async def test_refresh_token_buys_a_bearer_that_works(self, cloud):
        body = (await cloud.token(**FORM)).json()
        cloud.headers = {"authorization": f"Bearer {body['access_token']}"}
        assert body["scope"] == CLOUD_PLATFORM
        assert (await cloud.picture()).status_code == 200

    @pytest.mark.parametrize(
        ("change", "status", "error"),
        [
            ({"client_id": "other"}, 401, "invalid_client"),
            ({"client_secret": "other"}, 401, "invalid_client"),
            ({"refresh_token": "sandbox-refresh-token-2"}, 400, "invalid_grant"),
        ],
    )
    async def test_wrong_part_is_refused(self, cloud, change, status, error):
        answer = await cloud.token(**(FORM | change))
        assert (answer.status_code, answer.json()["error"]) == (status, error)

    async def test_revoked_refresh_token(self, cloud):
        user = {name: value for name, value in FORM.items() if name != "grant_type"}
        await cloud.control("/users", {**user, "email": "u@example.com", "state": "deleted"})
        answer = await cloud.token(**FORM)
        assert answer.json() == {
            "error": "invalid_grant",
            "error_description": "Token has been expired or revoked.",
        }


class TestMetadataServer:
    async def test_machine_s_token_works(self, cloud, http):
        answer = await http.get(f"{cloud.sandbox.base_url}{ACCOUNT}/token", headers=FLAVOR)
        assert answer.headers["metadata-flavor"] == "Google"
        cloud.headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await cloud.picture()).status_code == 200

    async def test_missing_header_is_refused(self, cloud, http):
        assert (await http.get(f"{cloud.sandbox.base_url}{ACCOUNT}/token")).status_code == 403

    async def test_email_and_project(self, cloud, http):
        base = cloud.sandbox.base_url
        email = await http.get(f"{base}{ACCOUNT}/email", headers=FLAVOR)
        project = await http.get(f"{base}/computeMetadata/v1/project/project-id", headers=FLAVOR)
        assert (email.text, project.text) == (cloud.email, "sandbox-project-1")

    async def test_machine_without_an_account(self, cloud, http):
        await cloud.control("/metadata", {"service_account": None})
        assert (await http.get(f"{cloud.sandbox.base_url}{ACCOUNT}/token", headers=FLAVOR)).status_code == 404

    async def test_google_s_own_library_finds_everything(self, sandbox, monkeypatch):
        monkeypatch.setattr("google.auth.compute_engine._metadata._GCE_METADATA_HOST", sandbox.metadata_host)
        credentials = compute_engine.Credentials()
        await asyncio.to_thread(credentials.refresh, Request())
        assert credentials.service_account_email == "sandbox-sa-1@sandbox-project-1.iam.gserviceaccount.com"
        assert sandbox.world.identity.bearer(credentials.token) is not None


async def test_bearer_ends_with_its_hour(start_sandbox, clock, http):
    cloud = await CloudClient(await start_sandbox(clock=clock), http).open()
    clock.advance(3590)
    assert (await cloud.picture()).status_code == 200
    clock.advance(11)
    assert error_of(await cloud.picture()) == (401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED")
