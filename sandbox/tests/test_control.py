"""The report, the clock, keys, and the sandbox as a process of its own."""

import asyncio
import json
import sys

import httpx
import pytest

from flow2api_sandbox.accounts import KeyState
from flow2api_sandbox.clock import Clock, to_rfc3339
from flow2api_sandbox.media.library import MediaLibrary
from flow2api_sandbox.media.recipes import ClipRecipe, PictureRecipe

GENERATE = "/v1beta/models/gemini-3.1-flash-image:generateContent"
BODY = {"contents": [{"parts": [{"text": "a kite"}]}]}


async def report_of(flow) -> dict:
    return (await flow.http.get(f"{flow.sandbox.control_url}/report")).json()


async def test_report_counts_submissions_per_prompt_and_batch(flow):
    body = flow.video_body("waves")
    batch_id = body["mediaGenerationContext"]["batchId"]
    await flow.submit(body)
    await flow.submit(body)
    await flow.submit("wind [[fault:500]]")
    submissions = (await report_of(flow))["submissions"]
    assert submissions["waves"]["accepted"] == 2
    assert submissions["waves"]["batch_ids"] == {batch_id: 2}
    assert submissions["wind [[fault:500]]"] | {"seen": 1, "accepted": 0} == submissions["wind [[fault:500]]"]


async def test_report_shows_the_most_clips_at_once(open_flow, clock):
    flow = await open_flow(clock=clock, time_scale=1)
    for index in range(3):
        await flow.clip(f"wave {index}")
    clock.advance(91)
    await flow.clip("later")
    watch = (await report_of(flow))["concurrency"]["sandbox-st-1"]
    assert watch["highest"]["video"] == 3
    assert watch["running"]["video"] == 1


async def test_report_shows_pictures_at_once_and_calls_per_route(open_flow):
    flow = await open_flow(time_scale=1, image_latency=0.2)
    await asyncio.gather(*(flow.images(f"x {index}") for index in range(4)))
    report = await report_of(flow)
    assert report["concurrency"]["sandbox-st-1"]["highest"]["image"] == 4
    assert report["calls"]["flow.images"] == 4
    assert report["statuses"]["flow.images"] == {"200": 4}


async def test_report_can_start_anew(flow):
    await flow.submit("waves")
    await flow.http.delete(f"{flow.sandbox.control_url}/report")
    assert (await report_of(flow))["submissions"] == {}


async def test_clock_is_moved_by_the_control_api(open_flow):
    flow = await open_flow(time_scale=1)
    name = (await flow.clip())["name"]
    await flow.http.post(f"{flow.sandbox.control_url}/clock", json={"seconds": 600})
    assert await flow.state(name) == "MEDIA_GENERATION_STATUS_SUCCESSFUL"


async def test_waiting_picture_is_done_when_the_clock_moves(open_flow, clock, until):
    flow = await open_flow(clock=clock, time_scale=1)
    waiting = asyncio.create_task(flow.images("x"))
    await until(lambda: flow.sandbox.world.ledger.submissions)
    clock.advance(60)
    async with asyncio.timeout(5):
        assert (await waiting).status_code == 200


async def test_unknown_path_is_google_s_not_found(flow):
    answer = await flow.http.get(f"{flow.sandbox.base_url}/v9/nothing")
    assert answer.json()["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [({}, 403, "PERMISSION_DENIED"), ({"x-goog-api-key": "nobody"}, 400, "INVALID_ARGUMENT")],
)
async def test_gemini_refuses_missing_and_unknown_keys(sandbox, http, headers, status, word):
    answer = await http.post(sandbox.gemini_url + GENERATE, json=BODY, headers=headers)
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, word)


async def test_gemini_key_is_added_and_blocked_at_run_time(sandbox, http):
    headers = {"x-goog-api-key": "late"}
    await http.post(f"{sandbox.control_url}/keys", json={"key": "late"})
    assert (await http.post(sandbox.gemini_url + GENERATE, json=BODY, headers=headers)).status_code == 200
    await http.post(f"{sandbox.control_url}/keys", json={"key": "late", "state": KeyState.SERVICE_DISABLED})
    answer = await http.post(sandbox.gemini_url + GENERATE, json=BODY, headers=headers)
    assert answer.json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


@pytest.mark.parametrize(
    "config",
    [
        {"imageConfig": {"aspectRatio": "7:5"}},
        {"imageConfig": {"imageSize": "2k"}},
        {"imageConfig": {"personGeneration": "ALLOW_ALL"}},
        {"candidateCount": 2},
        {"responseModalities": ["VIDEO"]},
        {"colour": "red"},
    ],
)
async def test_gemini_refuses_wrong_settings(sandbox, http, config):
    headers = {"x-goog-api-key": "sandbox-key-1"}
    answer = await http.post(sandbox.gemini_url + GENERATE, json={**BODY, "generationConfig": config}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "changes",
    [
        {"response_format": {"type": "video", "duration": "11s"}},
        {"response_format": {"type": "video", "aspect_ratio": "1:1"}},
        {"generation_config": {"video_config": {"task": "image_to_video"}}},
        {"generation_config": {"video_config": {"task": "extend"}}},
        {"background": True, "store": False},
        {"input": [{"type": "image", "mime_type": "image/png", "data": "AAAA"}]},
        {"colour": "red"},
    ],
)
async def test_interactions_refuse_what_the_model_does_not_do(sandbox, http, changes):
    body = {"model": "gemini-omni-1.1-flash", "input": "waves", **changes}
    headers = {"x-goog-api-key": "sandbox-key-1"}
    answer = await http.post(f"{sandbox.gemini_url}/v1beta/interactions", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_interaction_of_another_key_is_not_found(sandbox, http):
    url = f"{sandbox.gemini_url}/v1beta/interactions"
    body = {"model": "gemini-omni-1.1-flash", "input": "waves", "background": True}
    made = await http.post(url, json=body, headers={"x-goog-api-key": "sandbox-key-1"})
    answer = await http.get(f"{url}/{made.json()['id']}", headers={"x-goog-api-key": "sandbox-key-2"})
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("method", ["predict", "predictLongRunning"])
async def test_retired_calls_answer_not_found(sandbox, http, method):
    url = f"{sandbox.gemini_url}/v1beta/models/veo-3.1-generate-preview:{method}"
    answer = await http.post(url, json={"instances": []}, headers={"x-goog-api-key": "sandbox-key-1"})
    assert answer.status_code == 404
    assert f"not supported for {method}" in answer.json()["error"]["message"]


async def test_stream_without_sse_is_one_json_array(sandbox, http):
    url = f"{sandbox.gemini_url}/v1beta/models/gemini-3.1-flash-image:streamGenerateContent"
    answer = await http.post(url, json=BODY, headers={"x-goog-api-key": "sandbox-key-1"})
    chunks = answer.json()
    assert len(chunks) == 2
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"


async def test_alone_it_prints_its_addresses_and_ends_on_a_signal(tmp_path):
    accounts = tmp_path / "accounts.json"
    accounts.write_text(json.dumps([{"session_token": "from-file", "tier": "PAYGATE_TIER_TWO"}]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "flow2api_sandbox", "--port", "0", "--accounts-file", str(accounts)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            urls = json.loads(await process.stdout.readline())
            async with httpx.AsyncClient() as http:
                cookie = {"cookie": "__Secure-next-auth.session-token=from-file"}
                answer = await http.get(f"{urls['flow_labs_url']}/auth/session", headers=cookie)
            assert answer.json()["user"]["name"] == "from-file"
            process.terminate()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode in (0, -15)


async def test_library_renders_equal_recipes_once():
    library = MediaLibrary(picture_cache_bytes=10_000_000)
    recipe = PictureRecipe(64, 64, 1, "x", "y")
    first, second = await asyncio.gather(library.content(recipe), library.content(PictureRecipe(64, 64, 1, "x", "y")))
    assert first is second
    assert await library.content(PictureRecipe(64, 64, 2, "x", "y")) != first
    clip = ClipRecipe(160, 90, 1)
    assert await library.content(clip) is await library.content(ClipRecipe(160, 90, 1))


async def test_library_forgets_pictures_over_its_size():
    library = MediaLibrary(picture_cache_bytes=0)
    recipe = PictureRecipe(64, 64, 1, "x", "y")
    first = await library.content(recipe)
    again = await library.content(recipe)
    assert first == again
    assert first is not again


async def test_stopped_clock_keeps_nobody():
    clock = Clock()
    waiting = asyncio.create_task(clock.sleep(1000))
    await asyncio.sleep(0)
    clock.stop()
    async with asyncio.timeout(1):
        await waiting
        await clock.sleep(1000)


def test_times_are_written_as_google_does():
    assert to_rfc3339(0) == "1970-01-01T00:00:00.000Z"


async def test_body_arrives_although_the_client_offers_http2(flow):
    """curl-cffi offers h2c on plain connections, which must not cost the body."""
    headers = {**flow.cookie, "connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABk"}
    body = {"json": {"projectTitle": "t" * 200_000, "toolName": "PINHOLE"}}
    url = f"{flow.sandbox.flow_labs_url}/trpc/project.createProject"
    for _ in range(2):
        assert (await flow.http.post(url, json=body, headers=headers)).status_code == 200


class TestClips:
    """Clips that the control API tells about and makes."""

    async def test_tell_when_they_are_ready(self, open_flow, clock):
        flow = await open_flow(clock=clock, time_scale=1)
        await flow.clip("waves")
        (clip,) = (await flow.http.get(f"{flow.sandbox.control_url}/clips")).json()["clips"]
        assert clip["ready_at"] == pytest.approx(clip["accepted_at"] + 90)

    async def test_are_accepted_in_bulk_over_a_time_and_get_ready(self, open_flow, clock):
        flow = await open_flow(clock=clock, time_scale=1)
        batch = {"account": "sandbox-st-1", "count": 4, "duration": 20, "spread": 0.1, "delay": 5, "within": 8}
        answer = await flow.http.post(f"{flow.sandbox.control_url}/clips", json=batch)
        clips = answer.json()["clips"]
        start = clips[0]["accepted_at"]
        assert [clip["accepted_at"] - start for clip in clips] == pytest.approx([0, 2, 4, 6])
        assert start == pytest.approx(clock.now() + 5)
        assert all(18 <= clip["ready_at"] - clip["accepted_at"] <= 22 for clip in clips)

    async def test_of_a_strange_account_are_refused(self, flow):
        batch = {"account": "nobody", "count": 1, "duration": 1}
        assert (await flow.http.post(f"{flow.sandbox.control_url}/clips", json=batch)).status_code == 404
