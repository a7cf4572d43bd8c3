"""Clips of Flow over HTTP: submit, status, file, extension, upsampling, joining."""

import base64
import io
import uuid

import av
import pytest

PORTRAIT = "VIDEO_ASPECT_RATIO_PORTRAIT"
SUCCESSFUL = "MEDIA_GENERATION_STATUS_SUCCESSFUL"


def measured(content: bytes) -> tuple[int, int, float]:
    """Width, height, seconds, after decoding every frame."""
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        return stream.width, stream.height, frames / float(stream.average_rate)


async def test_clip_goes_from_pending_to_a_playable_file(open_flow, clock):
    flow = await open_flow(clock=clock, time_scale=1)
    name = (await flow.clip())["name"]
    assert await flow.state(name) == "MEDIA_GENERATION_STATUS_PENDING"
    clock.advance(45)
    assert await flow.state(name) == "MEDIA_GENERATION_STATUS_ACTIVE"
    clock.advance(46)
    assert await flow.state(name) == SUCCESSFUL
    assert (await flow.redirect(name)).status_code == 404
    clock.advance(5)
    redirect = await flow.redirect(name)
    assert redirect.status_code == 302
    file = await flow.http.get(redirect.headers["location"])
    assert file.headers["content-type"] == "video/mp4"
    assert int(file.headers["content-length"]) == len(file.content)
    assert measured(file.content) == (1280, 720, 8.0)


@pytest.mark.parametrize(
    ("key", "ratio", "expected"),
    [("veo_3_1_t2v_fast_portrait", PORTRAIT, (720, 1280, 8.0)), ("veo_3_1_t2v_lite_4s", PORTRAIT, (720, 1280, 4.0))],
)
async def test_clip_has_the_orientation_and_length_of_its_key(flow, key, ratio, expected):
    name = (await flow.clip(key=key, aspectRatio=ratio))["name"]
    answer = await flow.api(f"/media/{name}")
    assert measured(base64.b64decode(answer.json()["video"]["encodedVideo"])) == expected


async def test_media_host_serves_ranges_and_refuses_expired_or_forged_links(open_flow, clock):
    flow = await open_flow(clock=clock)
    url = (await flow.redirect((await flow.clip())["name"])).headers["location"]
    whole = (await flow.http.get(url)).content
    part = await flow.http.get(url, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    tail = await flow.http.get(url, headers={"range": "bytes=-5"})
    assert tail.content == whole[-5:]
    assert (await flow.http.get(url, headers={"range": f"bytes={len(whole)}-"})).status_code == 416
    assert (await flow.http.head(url)).headers["content-length"] == str(len(whole))
    assert (await flow.http.get(url + "0")).status_code == 403
    clock.advance(25 * 3600)
    assert (await flow.http.get(url)).status_code == 403


async def test_status_answers_many_clips_at_once(flow):
    names = [(await flow.clip(f"wave {index}"))["name"] for index in range(3)]
    entries = (await flow.status(*names)).json()["media"]
    assert [entry["name"] for entry in entries] == names
    assert {entry["mediaMetadata"]["mediaStatus"]["mediaGenerationStatus"] for entry in entries} == {SUCCESSFUL}
    assert all("fifeUrl" not in entry["video"] for entry in entries)


async def test_status_shows_the_link_when_set_so(open_flow):
    flow = await open_flow(status_has_url=True)
    entry = (await flow.status((await flow.clip())["name"])).json()["media"][0]
    assert (await flow.http.get(entry["video"]["fifeUrl"])).status_code == 200


async def test_old_form_is_asked_and_answered_in_operations(open_flow):
    flow = await open_flow(answer_form="old")
    submitted = (await flow.submit("waves")).json()
    assert "media" not in submitted
    answer = await flow.api("/video:batchCheckAsyncVideoGenerationStatus", {"operations": submitted["operations"]})
    operation = answer.json()["operations"][0]
    assert operation["status"] == SUCCESSFUL
    assert (await flow.http.get(operation["operation"]["metadata"]["video"]["fifeUrl"])).status_code == 200


async def test_both_forms_come_together(open_flow):
    flow = await open_flow(answer_form="both")
    submitted = (await flow.submit("waves")).json()
    assert {"media", "workflows", "operations", "remainingCredits"} == set(submitted)
    answer = (await flow.status(submitted["media"][0]["name"])).json()
    assert {"media", "operations"} <= set(answer)


@pytest.mark.parametrize(
    ("key", "price"), [("veo_3_1_t2v_fast", 20), ("veo_3_1_t2v", 100), ("veo_3_1_t2v_lite", 10), ("abra_t2v_8s", 25)]
)
async def test_acceptance_charges_the_price_of_the_key(flow, key, price):
    answer = (await flow.submit(flow.video_body(key=key))).json()
    assert answer["remainingCredits"] == 100_000 - price
    assert await flow.credits() == 100_000 - price
    assert flow.sandbox.world.ledger.charged["sandbox-st-1"] == price


async def test_too_few_credits_are_refused_and_not_charged(flow):
    flow.sandbox.world.accounts["sandbox-st-1"].credits = 19
    answer = await flow.submit("waves")
    assert answer.status_code == 429
    assert "credits" in answer.json()["error"]["message"].lower()
    assert await flow.credits() == 19


async def test_frames_and_references_go_to_their_own_calls(flow, png):
    first, last = await flow.uploaded(png), await flow.uploaded(png)
    start, end = {"startImage": {"mediaId": first}}, {"endImage": {"mediaId": last}}
    references = {"referenceImages": [{"imageUsageType": "IMAGE_USAGE_TYPE_ASSET", "mediaId": first}]}
    for kind, key, members in (
        ("StartImage", "veo_3_1_i2v_s_fast", start),
        ("StartAndEndImage", "veo_3_1_i2v_s_fast_fl", start | end),
        ("ReferenceImages", "veo_3_1_r2v_fast_landscape", references),
        ("ReferenceImages", "abra_r2v_8s", references),
    ):
        answer = await flow.submit(flow.video_body(key=key, **members), kind)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("kind", "key", "with_start"),
    [
        ("Text", "veo_3_1_i2v_s_fast", False),
        ("StartImage", "veo_3_1_i2v_s_fast_fl", True),
        ("StartImage", "veo_3_1_t2v_fast", True),
        ("StartImage", "veo_3_1_i2v_s_fast", False),
        ("StartAndEndImage", "veo_3_1_i2v_s_fast_fl", True),
        ("ReferenceImages", "veo_3_1_r2v_fast_landscape", False),
        ("Text", "veo_2_0_t2v", False),
        ("Text", "veo_3_1_r2v_fast_landscape", False),
    ],
)
async def test_wrong_image_count_or_key_is_a_bad_argument(flow, png, kind, key, with_start):
    members = {"startImage": {"mediaId": await flow.uploaded(png)}} if with_start else {}
    answer = await flow.submit(flow.video_body(key=key, **members), kind)
    assert answer.status_code == 400
    assert await flow.credits() == 100_000


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0},
        {"seed": 100_000},
        {"aspectRatio": PORTRAIT},
        {"aspectRatio": "VIDEO_ASPECT_RATIO_SQUARE", "key": "veo_3_1_t2v_lite"},
        {"metadata": None},
        {"metadata": {"sceneId": str(uuid.uuid4())}},
        {"textInput": {"prompt": "old form"}},
        {"resolution": "VIDEO_RESOLUTION_4K"},
    ],
)
async def test_wrong_clip_request_is_a_bad_argument(flow, changes):
    assert (await flow.submit(flow.video_body(**changes))).status_code == 400


async def test_old_body_without_the_new_members_is_refused(flow):
    for member in ("mediaGenerationContext", "useV2ModelConfig", "clientContext"):
        body = flow.video_body()
        del body[member]
        assert (await flow.submit(body)).status_code == 400


@pytest.mark.parametrize("key", ["veo_3_1_t2v_fast_ultra", "veo_3_1_t2v_fast_ultra_relaxed"])
async def test_ultra_key_is_denied_to_lower_tiers(flow, key):
    answer = await flow.submit(flow.video_body(key=key))
    assert answer.status_code == 403
    assert answer.json()["error"]["details"][0]["reason"] == "PUBLIC_ERROR_MODEL_ACCESS_DENIED"


async def test_ultra_account_sends_the_ultra_key_and_pays_half(ultra):
    assert (await ultra.submit(ultra.video_body(key="veo_3_1_t2v_fast"))).status_code == 403
    answer = await ultra.submit(ultra.video_body(key="veo_3_1_t2v_fast_ultra"))
    assert answer.json()["remainingCredits"] == 100_000 - 10


async def test_tier_in_the_context_must_be_the_account_s(flow):
    flow.tier = "PAYGATE_TIER_TWO"
    assert (await flow.submit("waves")).status_code == 403


async def test_strange_clips_are_not_found_in_status(flow, ultra):
    theirs = (await ultra.clip(key="veo_3_1_t2v_fast_ultra"))["name"]
    assert (await flow.status(theirs)).status_code == 404
    assert (await flow.status(str(uuid.uuid4()))).status_code == 404
    mine = (await flow.clip())["name"]
    await flow.open()
    assert (await flow.status(mine)).status_code == 404


async def test_clip_is_extended_in_its_workflow(flow):
    source = await flow.clip()
    members = {"videoInput": {"mediaId": source["name"]}, "metadata": {"workflowId": source["workflowId"]}}
    body = flow.video_body("and on", key="veo_3_1_extend_landscape", **members)
    answer = await flow.submit(body, "ExtendVideo")
    assert answer.json()["media"][0]["workflowId"] == source["workflowId"]
    body["requests"][0]["metadata"] = {"workflowId": str(uuid.uuid4())}
    assert (await flow.submit(body, "ExtendVideo")).status_code == 400


@pytest.mark.parametrize(("resolution", "size", "price"), [("1080p", (1920, 1080), 0), ("4k", (3840, 2160), 50)])
async def test_upsampled_clip_is_larger_and_as_long(ultra, resolution, size, price):
    source = await ultra.clip(key="veo_3_1_t2v_fast_4s")
    before = await ultra.credits()
    body = ultra.video_body(
        key=f"veo_3_1_upsampler_{resolution}",
        textInput=None,
        resolution=f"VIDEO_RESOLUTION_{resolution.upper()}",
        videoInput={"mediaId": source["name"]},
        metadata={"sceneId": str(uuid.uuid4())},
    )
    answer = await ultra.submit(body, "UpsampleVideo")
    assert answer.json()["remainingCredits"] == before - price
    media = await ultra.api(f"/media/{answer.json()['media'][0]['name']}")
    assert measured(base64.b64decode(media.json()["video"]["encodedVideo"])) == (*size, 4.0)


async def test_unfinished_clip_cannot_be_a_source(open_flow):
    flow = await open_flow(time_scale=1)
    source = await flow.clip()
    members = {"videoInput": {"mediaId": source["name"]}, "metadata": {"workflowId": source["workflowId"]}}
    answer = await flow.submit(flow.video_body(key="veo_3_1_extend_landscape", **members), "ExtendVideo")
    assert answer.json()["error"]["status"] == "FAILED_PRECONDITION"


async def test_two_clips_are_joined(open_flow, clock):
    flow = await open_flow(clock=clock, time_scale=1)
    names = [(await flow.clip(key="veo_3_1_t2v_lite_4s"))["name"] for _ in range(2)]
    clock.advance(600)
    inputs = [
        {"mediaGenerationId": name, "lengthNanos": 4000, "startTimeOffset": start, "endTimeOffset": "4s"}
        for name, start in zip(names, ("0s", "1s"), strict=True)
    ]
    started = await flow.api(":runVideoFxConcatenation", {"inputVideos": inputs})
    check = {"operation": started.json()["operation"]}
    assert (await flow.api(":runVideoFxCheckConcatenationStatus", check)).json() == {
        "status": "MEDIA_GENERATION_STATUS_ACTIVE"
    }
    clock.advance(60)
    done = (await flow.api(":runVideoFxCheckConcatenationStatus", check)).json()
    assert measured(base64.b64decode(done["encodedVideo"])) == (1280, 720, 7.0)


async def test_deleted_media_are_gone(flow):
    name = (await flow.clip())["name"]
    assert (await flow.labs("POST", "/trpc/media.deleteMedia", {"json": {"names": [name]}})).status_code == 200
    assert (await flow.status(name)).status_code == 404
    assert (await flow.redirect(name)).status_code == 404


async def test_video_cap_throttles_what_runs_at_once(open_flow, clock):
    flow = await open_flow(clock=clock, time_scale=1, video_cap=1)
    await flow.clip()
    assert (await flow.submit("second")).status_code == 429
    clock.advance(91)
    assert (await flow.submit("second")).status_code == 200


async def test_padded_clip_plays_and_has_the_same_bytes_whole_and_in_ranges(flow):
    url = (await flow.redirect((await flow.clip())["name"])).headers["location"]
    plain = (await flow.http.get(url)).content
    size = len(plain) + 1_000_000
    await flow.http.post(f"{flow.sandbox.control_url}/clip-size", json={"at_least_bytes": size})
    whole = await flow.http.get(url)
    assert int(whole.headers["content-length"]) == len(whole.content) == size
    assert whole.content.startswith(plain)
    assert measured(whole.content) == (1280, 720, 8.0)
    for start in (0, len(plain) - 3, len(plain) + 3, size - 700_001):
        part = await flow.http.get(url, headers={"range": f"bytes={start}-{start + 699_999}"})
        assert part.content == whole.content[start : start + 700_000]
    await flow.http.post(f"{flow.sandbox.control_url}/clip-size", json={"at_least_bytes": 0})
    assert (await flow.http.get(url)).content == plain
