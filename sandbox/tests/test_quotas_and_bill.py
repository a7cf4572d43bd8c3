"""Quotas by project, location and model, and the bill to the millionth."""

from typing import Any

import httpx
import pytest

from flow2api_testing.google_cloud import PICTURES, CloudClient, error_of


def details_of(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    return {each["@type"].rpartition(".")[2]: each for each in answer.json()["error"]["details"]}


@pytest.fixture
async def timed(start_sandbox, clock, http) -> CloudClient:
    """A service account in a sandbox whose clips take their time, and whose clock stands still."""
    return await CloudClient(await start_sandbox(clock=clock, time_scale=1, image_latency=0), http).open()


class TestQuotas:
    async def test_minute_is_full_and_frees_itself(self, timed, clock):
        await timed.control("/quotas", {"project": "sandbox-project-1", "model": PICTURES, "per_minute": 2})
        assert (await timed.picture()).status_code == 200
        clock.advance(20)
        assert (await timed.picture()).status_code == 200
        refused = await timed.picture()
        assert error_of(refused) == (429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED")
        violation = details_of(refused)["QuotaFailure"]["violations"][0]
        assert "PerMinute" in violation["quotaId"]
        assert violation["quotaValue"] == "2"
        assert violation["quotaDimensions"] == {"region": "us-central1", "base_model": PICTURES}
        assert details_of(refused)["RetryInfo"]["retryDelay"] == "40s"
        clock.advance(40)
        assert (await timed.picture()).status_code == 200

    async def test_other_locations_and_models_are_free(self, timed):
        await timed.control("/quotas", {"location": "us-central1", "model": PICTURES, "per_minute": 0})
        assert (await timed.picture()).status_code == 429
        assert (await timed.clip()).status_code == 200
        timed.location = "europe-west4"
        assert (await timed.picture()).status_code == 200

    async def test_day_ends_at_midnight_in_the_west(self, timed, clock):
        await timed.control("/quotas", {"per_day": 1})
        assert (await timed.picture()).status_code == 200
        refused = await timed.picture()
        assert "PerDay" in details_of(refused)["QuotaFailure"]["violations"][0]["quotaId"]
        clock.advance(86_400 - (clock.now() - 8 * 3600) % 86_400 + 1)
        timed.headers = (await CloudClient(timed.sandbox, timed.http).open()).headers
        assert (await timed.picture()).status_code == 200

    async def test_clips_at_once(self, timed, clock):
        await timed.control("/quotas", {"model": "veo-*", "concurrent": 2})
        assert [(await timed.clip()).status_code for _ in range(3)] == [200, 200, 429]
        clock.advance(90)
        assert (await timed.clip()).status_code == 200
        uses = (await timed.http.get(f"{timed.sandbox.control_url}/quotas")).json()["uses"]
        assert [(each["running"], each["highest"], each["refused"]) for each in uses] == [(1, 2, 1)]

    async def test_two_accounts_of_a_project_share(self, timed):
        await timed.control("/quotas", {"per_minute": 1})
        other = "other@sandbox-project-1.iam.gserviceaccount.com"
        await timed.control("/service-accounts", {"email": other, "project": "sandbox-project-1"})
        key = (await timed.control(f"/service-accounts/{other}/keys", {})).json()
        second = CloudClient(timed.sandbox, timed.http, key=key)
        answer = await second.grant(second.assertion(iss=other))
        second.headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        assert [(await timed.picture()).status_code, (await second.picture()).status_code] == [200, 429]

    async def test_key_of_the_gemini_api_has_its_own(self, timed):
        await timed.control("/quotas", {"project": "sandbox-key-1", "location": "gemini-api", "per_minute": 1})
        body = {"contents": [{"parts": [{"text": "a kite"}]}]}
        url = f"{timed.sandbox.gemini_url}/v1beta/models/{PICTURES}:generateContent"
        statuses = []
        for key in ("sandbox-key-1", "sandbox-key-1", "sandbox-key-2"):
            answer = await timed.http.post(url, json=body, headers={"x-goog-api-key": key})
            statuses.append(answer.status_code)
            if answer.status_code == 429:
                assert "Please retry in 60s" in answer.json()["error"]["message"]
                assert details_of(answer)["RetryInfo"]["retryDelay"] == "60s"
        assert statuses == [200, 429, 200]

    async def test_interaction_is_refused_with_a_word(self, timed):
        await timed.control("/quotas", {"per_day": 0})
        url = f"{timed.sandbox.vertex_url}/v1beta1/{timed.resource}/interactions"
        body = {"model": "gemini-omni-1.1-flash", "input": "waves", "background": True}
        answer = await timed.http.post(url, json=body, headers=timed.headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota_exceeded")


class TestBill:
    @pytest.mark.parametrize(
        ("model", "config", "micros"),
        [
            ("gemini-3-pro-image", {"imageSize": "2K"}, 134_000 + 2),
            ("gemini-3-pro-image", {"imageSize": "4K"}, 240_000 + 2),
            ("gemini-3.1-flash-image", {"imageSize": "512"}, 45_000 + 1),
            ("gemini-3.1-flash-image", {}, 67_000 + 1),
            ("gemini-3.1-flash-lite-image", {}, 33_600),
            ("gemini-nano-banana-2.1", {}, 33_600 + 2),
            ("gemini-2.5-flash-image", {}, 39_000),
        ],
    )
    async def test_picture_and_the_one_token_of_its_prompt(self, cloud, model, config, micros):
        assert (await cloud.picture("kite", model=model, **config)).status_code == 200
        assert (await cloud.bill())["total_micros"] == micros

    @pytest.mark.parametrize(
        ("model", "parameters", "micros"),
        [
            ("veo-3.1-generate-001", {"durationSeconds": 4}, 1_600_000),
            ("veo-3.1-generate-001", {"resolution": "4k", "sampleCount": 2}, 9_600_000),
            ("veo-3.1-fast-generate-001", {"resolution": "1080p", "generateAudio": False}, 960_000),
            ("veo-3.1-fast-generate-001", {"durationSeconds": 6}, 600_000),
            ("veo-3.1-lite-generate-001", {"resolution": "1080p"}, 640_000),
        ],
    )
    async def test_seconds_of_veo(self, cloud, model, parameters, micros):
        assert (await cloud.clip(model=model, **parameters)).status_code == 200
        assert (await cloud.bill())["total_micros"] == micros

    async def test_tokens_of_omni(self, cloud):
        url = f"{cloud.sandbox.vertex_url}/v1beta1/{cloud.resource}/interactions"
        wanted = {"type": "video", "duration": "3s", "resolution": "360p"}
        body = {"model": "gemini-omni-1.1-flash", "input": "wave", "response_format": wanted}
        answer = (await cloud.http.post(url, json=body, headers=cloud.headers)).json()
        assert answer["usage"]["total_output_tokens"] == 17_376
        assert (await cloud.bill())["total_micros"] == 304_080 + 2

    async def test_lines_tell_who_paid_for_what(self, cloud):
        await cloud.clip(durationSeconds=4)
        await cloud.clip("x [[fault:fail]]", durationSeconds=4)
        bill = await cloud.bill()
        line = {
            "credential": cloud.email,
            "project": "sandbox-project-1",
            "location": "us-central1",
            "model": "veo-3.1-fast-generate-001",
            "unit": "second",
            "variant": "720p audio",
            "quantity": 8,
            "micros": 800_000,
            "refunded_quantity": 4,
            "refunded_micros": 400_000,
        }
        assert bill["lines"] == [line]
        assert bill["projects"] == {"sandbox-project-1": 400_000}
        assert bill["total_micros"] == bill["credentials"][cloud.email] == 400_000

    @pytest.mark.parametrize("mark", ["content", "fail", "empty"])
    async def test_picture_that_did_not_come_costs_nothing(self, cloud, mark):
        assert (await cloud.picture(f"x [[fault:{mark}]]")).status_code == 200
        assert (await cloud.bill())["total_micros"] == 0

    async def test_bill_begins_anew_with_the_report(self, cloud, http):
        await cloud.picture()
        await http.delete(f"{cloud.sandbox.control_url}/report")
        assert (await cloud.bill()) == {
            "currency": "USD",
            "total_micros": 0,
            "credentials": {},
            "projects": {},
            "models": {},
            "lines": [],
        }
