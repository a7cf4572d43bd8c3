"""Who may call Vertex for what, and in which words everybody else is refused."""

import httpx
import pytest

from flow2api_testing.google_cloud import PICTURES, VEO, CloudClient, error_of


class TestTokens:
    async def test_no_token(self, cloud):
        cloud.headers = {}
        assert error_of(await cloud.picture()) == (401, "UNAUTHENTICATED", "CREDENTIALS_MISSING")

    async def test_expired_token(self, cloud):
        await cloud.control("/expire-access-tokens", {"account": cloud.email})
        assert error_of(await cloud.picture()) == (401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED")

    async def test_token_for_something_else(self, cloud):
        scope = "https://www.googleapis.com/auth/userinfo.email"
        answer = await cloud.grant(cloud.assertion(scope=scope))
        cloud.headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert error_of(await cloud.picture()) == (403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT")

    async def test_key_in_place_of_a_token(self, cloud):
        cloud.headers = {"x-goog-api-key": "sandbox-express-1"}
        assert error_of(await cloud.picture())[0] == 401


class TestProjects:
    @pytest.mark.parametrize(
        ("state", "reason"),
        [
            ("service_disabled", "SERVICE_DISABLED"),
            ("billing_disabled", "BILLING_DISABLED"),
            ("suspended", "CONSUMER_SUSPENDED"),
        ],
    )
    async def test_project_that_is_not_usable(self, cloud, state, reason):
        await cloud.control("/projects", {"project": "sandbox-project-1", "state": state})
        for answer in (await cloud.picture(), await cloud.clip()):
            assert error_of(answer) == (403, "PERMISSION_DENIED", reason)

    async def test_account_without_its_role(self, cloud):
        await cloud.control("/service-accounts", {"email": cloud.email, "projects": []})
        answer = await cloud.clip()
        assert error_of(answer) == (403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED")
        metadata = answer.json()["error"]["details"][0]["metadata"]
        assert metadata["permission"] == "aiplatform.endpoints.predict"
        assert metadata["resource"] == f"{cloud.resource}/publishers/google/models/{VEO}"

    async def test_project_that_does_not_exist_looks_the_same(self, cloud):
        url = f"{cloud.sandbox.vertex_url}/v1/projects/none/locations/global/publishers/google/models/{PICTURES}"
        answer = await cloud.http.post(f"{url}:generateContent", json={}, headers=cloud.headers)
        assert error_of(answer) == (403, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED")

    async def test_foreign_quota_project(self, cloud):
        body = {"contents": [{"parts": [{"text": "a kite"}]}]}
        header = {"x-goog-user-project": "sandbox-project-2"}
        answer = await cloud.call(PICTURES, "generateContent", body, **header)
        assert error_of(answer) == (403, "PERMISSION_DENIED", "USER_PROJECT_DENIED")


class TestModelsAndLocations:
    async def test_region_without_the_model_but_another_with_it(self, cloud):
        await cloud.control("/availability", {"model": "veo-*", "location": "europe-west4", "is_served": False})
        cloud.location = "europe-west4"
        assert error_of(await cloud.clip()) == (404, "NOT_FOUND", None)
        cloud.location = "us-central1"
        assert (await cloud.clip()).status_code == 200

    async def test_place_that_is_no_location(self, cloud):
        cloud.location = "the moon"
        assert error_of(await cloud.picture())[:2] == (400, "INVALID_ARGUMENT")

    @pytest.mark.parametrize("model", ["veo-3.1-generate-preview", "imagen-4.0-generate-001", "nothing"])
    async def test_model_that_is_gone(self, cloud, model):
        assert error_of(await cloud.clip(model=model))[:2] == (404, "NOT_FOUND")

    async def test_model_that_does_something_else(self, cloud):
        assert error_of(await cloud.picture(model=VEO))[:2] == (400, "INVALID_ARGUMENT")


class TestExpressKeys:
    async def test_key_of_the_gemini_api_is_blocked_and_the_other_way_round(self, cloud, http):
        body = {"contents": [{"parts": [{"text": "a kite"}]}]}
        for path, key in (
            (f"publishers/google/models/{PICTURES}", "sandbox-key-1"),
            (f"models/{PICTURES}", "sandbox-express-1"),
        ):
            url = f"{cloud.sandbox.base_url}/v1/{path}:generateContent"
            answer = await http.post(url, json=body, headers={"x-goog-api-key": key})
            assert error_of(answer) == (403, "PERMISSION_DENIED", "API_KEY_SERVICE_BLOCKED")

    async def test_unknown_key(self, cloud, http):
        url = f"{cloud.sandbox.base_url}/v1/publishers/google/models/{PICTURES}:generateContent"
        answer = await http.post(url, json={}, headers={"x-goog-api-key": "nobody"})
        assert error_of(answer) == (400, "INVALID_ARGUMENT", "API_KEY_INVALID")

    async def test_key_makes_a_clip(self, cloud, http):
        base = f"{cloud.sandbox.base_url}/v1/publishers/google/models/{VEO}"
        headers = {"x-goog-api-key": "sandbox-express-1"}
        body = {"instances": [{"prompt": "waves"}], "parameters": {"durationSeconds": 4}}
        name = (await http.post(f"{base}:predictLongRunning", json=body, headers=headers)).json()["name"]
        answer = await http.post(f"{base}:fetchPredictOperation", json={"operationName": name}, headers=headers)
        assert answer.json()["response"]["videos"][0]["mimeType"] == "video/mp4"


class TestFaults:
    @pytest.mark.parametrize(
        ("mark", "expected"),
        [
            ("429", (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")),
            ("429 reason=none", (429, "RESOURCE_EXHAUSTED", None)),
            ("quota_model", (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")),
            ("credits", (403, "PERMISSION_DENIED", "BILLING_DISABLED")),
            ("tier", (403, "PERMISSION_DENIED", "SERVICE_DISABLED")),
            ("verification", (403, "PERMISSION_DENIED", "CONSUMER_SUSPENDED")),
            ("503", (503, "UNAVAILABLE", None)),
            ("content", (400, "INVALID_ARGUMENT", None)),
        ],
    )
    async def test_clip_is_refused_in_google_s_words(self, cloud, mark, expected):
        assert error_of(await cloud.clip(f"x [[fault:{mark}]]")) == expected
        assert (await cloud.bill())["total_micros"] == 0

    async def test_rule_hits_one_location_of_one_model(self, cloud):
        rule = {"kind": "503", "location": "europe-*", "model": "veo-*", "project": "sandbox-project-1"}
        await cloud.control("/faults", rule)
        cloud.location = "europe-west4"
        assert (await cloud.clip()).status_code == 503
        assert (await cloud.picture()).status_code == 200
        cloud.location = "us-central1"
        assert (await cloud.clip()).status_code == 200

    async def test_answer_that_is_lost_was_charged(self, cloud):
        with pytest.raises(httpx.TransportError):
            await cloud.clip("x [[fault:lost_answer]]")
        assert (await cloud.bill())["total_micros"] == 800_000


async def test_two_projects_have_nothing_of_each_other(sandbox, http):
    first, second = await CloudClient(sandbox, http).open(), await CloudClient(sandbox, http, number=2).open()
    name = (await first.clip()).json()["name"]
    assert (await second.operation(name)).status_code == 403


async def test_tokens_are_counted_for_nothing_by_whoever_may_generate(cloud):
    body = {"contents": [{"role": "user", "parts": [{"text": "a kite over the sea"}]}]}
    counted = await cloud.call(PICTURES, "countTokens", body)
    assert counted.json()["totalTokens"] > 0
    assert (await cloud.bill())["lines"] == []
    assert error_of(await cloud.call("no-such-model", "countTokens", body))[:2] == (404, "NOT_FOUND")
    await cloud.control("/projects", {"project": "sandbox-project-1", "state": "billing_disabled"})
    assert error_of(await cloud.call(PICTURES, "countTokens", body))[2] == "BILLING_DISABLED"
