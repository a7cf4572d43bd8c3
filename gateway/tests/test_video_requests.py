"""The Videos API below the SDK, and the files behind it."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from flow2api_gateway.errors.openai_table import RULES_BY_REASON
from flow2api_proto.generation.v1 import media_pb2, video_pb2
from flow2api_testing.gateway_peers.content import picture

GOOD = {"model": "veo-3.1-fast", "prompt": "waves"}


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/v1/videos", json=GOOD | fields)


async def test_json_and_forms_make_the_same_job(client: httpx.AsyncClient, world: Any) -> None:
    fields = {"seconds": "4", "size": "1080x1920", "seed": "7", "negative_prompt": "rain"}
    await client.post("/v1/videos", json=GOOD | fields | {"seconds": 4, "seed": 7})
    await client.post("/v1/videos", data=GOOD | fields)
    await client.post("/v1/videos", data=GOOD | fields, files={"unused": b""})
    first, second, third = world.generation.video_requests
    assert first == second == third
    assert (first.duration_seconds, first.resolution, first.seed) == (4, "1080p", 7)
    assert (first.size.width, first.size.height) == (1080, 1920)


async def test_the_answer_sets_the_pause_of_polls(client: httpx.AsyncClient) -> None:
    response = await create(client)
    assert int(response.headers["openai-poll-after-ms"]) > 0
    assert response.json() == response.json() | {
        "id": "video_1",
        "object": "video",
        "status": "queued",
        "progress": 0,
        "created_at": 1767225600,
        "completed_at": None,
        "seconds": "8",
        "size": "1280x720",
        "error": None,
        "remixed_from_video_id": None,
    }


@pytest.mark.parametrize(
    "reference",
    ["object", "object with url inside", "text", "id"],
)
async def test_every_form_of_a_first_frame(
    client: httpx.AsyncClient, world: Any, make_picture: Any, reference: str
) -> None:
    url = f"data:image/png;base64,{base64.b64encode(make_picture()).decode()}"
    forms: dict[str, Any] = {
        "object": {"image_url": url},
        "object with url inside": {"image_url": {"url": url}},
        "text": url,
        "id": {"file_id": "pic7"},
    }
    await world.generation.add_media("pic7", make_picture(), "image/png")
    assert (await create(client, input_reference=forms[reference])).status_code == 200
    image = world.generation.video_requests[0].input_images[0]
    assert image.media_id == "pic7" if reference == "id" else image.data == make_picture()


async def test_references_and_a_last_frame_have_their_roles(
    client: httpx.AsyncClient, world: Any, make_picture: Any
) -> None:
    for name in ("a", "b"):
        await world.generation.add_media(name, make_picture(), "image/png")
    await create(client, reference_images=[{"file_id": "a"}], last_frame={"file_id": "b"})
    roles = [(image.media_id, image.role) for image in world.generation.video_requests[0].input_images]
    assert roles == [("a", media_pb2.INPUT_IMAGE_ROLE_REFERENCE), ("b", media_pb2.INPUT_IMAGE_ROLE_LAST_FRAME)]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": " "}, "prompt"),
        ({"model": "gemini-3.1-flash-image"}, "model"),
        ({"seconds": "soon"}, "seconds"),
        ({"seconds": 7}, "seconds"),
        ({"size": "0x0"}, "size"),
        ({"resolution": "4k"}, "resolution"),
        ({"input_reference": [{"file_id": "a"}] * 3}, "input_reference"),
        ({"input_reference": 7}, "input_reference"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {str(index): "x" for index in range(17)}}, "metadata"),
        ({"webhook_url": ["https://x"]}, "webhook_url"),
    ],
)
async def test_wrong_values_name_their_param(client: httpx.AsyncClient, fields: dict[str, Any], param: str) -> None:
    response = await create(client, **fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [
        (video_pb2.VIDEO_STATE_QUEUED, "queued", None),
        (video_pb2.VIDEO_STATE_SUBMITTING, "queued", None),
        (video_pb2.VIDEO_STATE_IN_PROGRESS, "in_progress", None),
        (video_pb2.VIDEO_STATE_UPSCALING, "in_progress", None),
        (video_pb2.VIDEO_STATE_STORING, "in_progress", None),
        (video_pb2.VIDEO_STATE_COMPLETED, "completed", None),
        (video_pb2.VIDEO_STATE_FAILED, "failed", "upstream_error"),
        (video_pb2.VIDEO_STATE_FILTERED, "failed", "content_policy_violation"),
        (video_pb2.VIDEO_STATE_CANCELLED, "failed", "cancelled"),
        (video_pb2.VIDEO_STATE_EXPIRED, "failed", "expired"),
    ],
)
async def test_states_are_the_four_words_of_the_sdk(
    client: httpx.AsyncClient, world: Any, state: Any, status: str, code: str | None
) -> None:
    await create(client)
    await world.generation.change_video("video_1", state=state)
    video = (await client.get("/v1/videos/video_1")).json()
    assert video["status"] == status
    assert (video["error"] or {}).get("code") == code


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        ("upstream_unavailable", "upstream_error"),
        ("model_gone", "upstream_model_gone"),
        ("insufficient_credits", "insufficient_quota"),
        ("media_not_stored", "media_not_stored"),
    ],
)
async def test_a_failed_video_says_a_code_of_the_error_page(
    client: httpx.AsyncClient, world: Any, kept: str, code: str
) -> None:
    await create(client)
    error = video_pb2.VideoError(code=kept, message="No.")
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_FAILED, error=error)
    assert (await client.get("/v1/videos/video_1")).json()["error"] == {"code": code, "message": "No."}
    assert code in {rule.code for rule in RULES_BY_REASON.values()}


async def test_a_warning_is_shown(client: httpx.AsyncClient, world: Any) -> None:
    await create(client)
    assert "warning" not in (await client.get("/v1/videos/video_1")).json()
    await world.generation.change_video("video_1", warning="This is the smaller clip.")
    assert (await client.get("/v1/videos/video_1")).json()["warning"] == "This is the smaller clip."


async def test_another_keys_video_does_not_exist(client: httpx.AsyncClient, world: Any) -> None:
    await create(client)
    world.generation.videos["video_1"].api_key_id = "key_9"
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/content"), ("GET", "/events")):
        response = await client.request(method, f"/v1/videos/video_1{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "video_not_found")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("after=video_9", "after"),
    ],
)
async def test_a_wrong_listing_names_its_param(client: httpx.AsyncClient, query: str, param: str) -> None:
    await create(client)
    response = await client.get(f"/v1/videos?{query}")
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_an_empty_list_has_its_members(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/videos")).json()
    assert answer == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_a_cancelled_video_cannot_be_cancelled_again(client: httpx.AsyncClient) -> None:
    await create(client)
    first = await client.post("/v1/videos/video_1/cancel")
    second = await client.post("/v1/videos/video_1/cancel")
    assert first.json()["error"]["code"] == "cancelled"
    assert (second.status_code, second.json()["error"]["code"]) == (400, "video_already_final")


async def test_events_follow_a_video_to_its_end(client: httpx.AsyncClient, world: Any) -> None:
    await create(client)
    await world.generation.complete_video("video_1")
    response = await client.get("/v1/videos/video_1/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.startswith("event: video.completed\nid: 2-100-final\ndata: {")


async def test_content_by_range_and_head(client: httpx.AsyncClient, world: Any) -> None:
    await create(client)
    await world.generation.complete_video("video_1")
    whole = await client.get("/v1/videos/video_1/content")
    part = await client.get("/v1/videos/video_1/content", headers={"range": "bytes=4-11"})
    tail = await client.get("/v1/videos/video_1/content", headers={"range": "bytes=-3"})
    head = await client.head("/v1/videos/video_1/content")
    outside = await client.get("/v1/videos/video_1/content", headers={"range": "bytes=999999-"})
    size = len(whole.content)
    assert (part.status_code, part.content) == (206, b"ftypmp42")
    assert part.headers["content-range"] == f"bytes 4-11/{size}"
    assert tail.content == whole.content[-3:]
    assert (head.content, head.headers["content-length"]) == (b"", str(size))
    assert (outside.status_code, outside.headers["content-range"]) == (416, f"bytes */{size}")
    assert whole.headers["accept-ranges"] == "bytes"
    assert "attachment" in whole.headers["content-disposition"]


async def test_variants_of_the_content(client: httpx.AsyncClient, world: Any, make_picture: Any) -> None:
    await create(client)
    still = await world.generation.add_media("still", make_picture(kind="WEBP"), "image/webp")
    await world.generation.complete_video("video_1")
    missing = await client.get("/v1/videos/video_1/content?variant=thumbnail")
    await world.generation.change_video("video_1", thumbnail=still)
    found = await client.get("/v1/videos/video_1/content?variant=thumbnail")
    no_sheet = await client.get("/v1/videos/video_1/content?variant=spritesheet")
    frames = await world.generation.add_media("frames", make_picture(kind="JPEG"), "image/jpeg")
    await world.generation.change_video("video_1", spritesheet=frames)
    sheet = await client.get("/v1/videos/video_1/content?variant=spritesheet")
    unknown = await client.get("/v1/videos/video_1/content?variant=gif")
    assert (missing.status_code, found.headers["content-type"]) == (404, "image/webp")
    assert (no_sheet.status_code, sheet.headers["content-type"]) == (404, "image/jpeg")
    assert unknown.json()["error"]["param"] == "variant"


async def test_a_result_link_opens_without_a_key_and_a_changed_one_does_not(
    client: httpx.AsyncClient, world: Any
) -> None:
    await create(client)
    await world.generation.complete_video("video_1")
    url = (await client.get("/v1/videos/video_1")).json()["url"]
    del client.headers["authorization"]
    opened = await client.get(url)
    assert (opened.status_code, opened.headers["content-type"]) == (200, "video/mp4")
    part = await client.get(url, headers={"range": "bytes=0-3"})
    assert (part.status_code, len(part.content)) == (206, 4)
    cached = await client.get(url, headers={"if-none-match": opened.headers["etag"]})
    assert (cached.status_code, cached.content) == (304, b"")
    other_version = await client.get(url, headers={"range": "bytes=0-3", "if-range": '"other"'})
    assert other_version.status_code == 200
    for changed in (url[:-1] + ("A" if url[-1] != "A" else "B"), url.replace("clip1", "clip2"), url + "&as=png-100"):
        assert (await client.get(changed)).status_code == 403
    assert (await client.get("/media/clip1")).status_code == 403


async def test_a_file_that_is_gone_is_404(client: httpx.AsyncClient, world: Any) -> None:
    await create(client)
    await world.generation.complete_video("video_1")
    url = (await client.get("/v1/videos/video_1")).json()["url"]
    await world.generation.store.delete(world.generation.media["clip1"].object_key)
    gone_from_store = await client.get(url)
    world.generation.media.clear()
    gone_from_index = await client.get(url)
    assert (gone_from_store.status_code, gone_from_index.status_code) == (404, 404)
    assert gone_from_index.json()["error"]["code"] == "media_not_found"


async def completed_video(client: httpx.AsyncClient, world: Any) -> str:
    video_id = (await client.post("/v1/videos", json={"model": "veo-3.1-fast", "prompt": "a pier"})).json()["id"]
    await world.generation.complete_video(video_id)
    return str(video_id)


@pytest.mark.parametrize("path", ["/v1/videos/edits", "/v1/videos/extensions"])
async def test_a_video_from_a_video_in_every_form(client: httpx.AsyncClient, world: Any, path: str) -> None:
    source = await completed_video(client, world)
    bodies: list[dict[str, Any]] = [
        {"json": {"prompt": "at night", "video": {"id": source}, "seconds": 4}},
        {"json": {"prompt": "at night", "video": source, "seconds": "4", "model": "veo-3.1-fast"}},
        {"files": {"prompt": (None, "at night"), "video[id]": (None, source), "seconds": (None, "4")}},
    ]
    for body in bodies:
        response = await client.post(path, **body)
        assert (response.status_code, response.json()["status"]) == (200, "queued"), response.text
        assert response.json()["remixed_from_video_id"] == source
    requests = world.generation.video_requests[1:]
    assert {request.source_video_id for request in requests} == {source}
    assert {request.duration_seconds for request in requests} == {4 if path.endswith("extensions") else 0}


@pytest.mark.parametrize(
    ("video", "status", "code"),
    [
        (None, 400, "missing_required_parameter"),
        ("video_9", 404, "video_not_found"),
        ({"url": "https://a.example"}, 400, "invalid_value"),
        ([], 400, "invalid_value"),
    ],
)
async def test_a_source_that_cannot_be_gone_on_from(
    client: httpx.AsyncClient, video: Any, status: int, code: str
) -> None:
    response = await client.post("/v1/videos/edits", json={"prompt": "at night", "video": video})
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


async def test_an_uploaded_video_is_refused_by_name(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/videos/edits", data={"prompt": "at night"}, files={"video": b"ftyp"})
    assert response.status_code == 400
    assert (response.json()["error"]["param"], response.json()["error"]["code"]) == ("video", "unsupported_parameter")


async def test_an_earlier_video_as_the_reference_is_gone_on_from(client: httpx.AsyncClient, world: Any) -> None:
    source = await completed_video(client, world)
    for reference in (source, {"file_id": source}):
        body = {"model": "veo-3.1-fast", "prompt": "and then", "input_reference": reference}
        assert (await client.post("/v1/videos", json=body)).status_code == 200
        assert world.generation.video_requests[-1].source_video_id == source
    form = {"model": "veo-3.1-fast", "prompt": "and then", "input_reference": f' {{"id": "{source}"}}'}
    assert (await client.post("/v1/videos", data=form)).status_code == 200
    assert world.generation.video_requests[-1].source_video_id == source


@pytest.mark.parametrize(("path", "param"), [("/v1/videos", "input_reference"), ("/v1/videos/edits", "video")])
async def test_an_earlier_video_that_is_not_there_names_its_field(
    client: httpx.AsyncClient, path: str, param: str
) -> None:
    response = await client.post(path, json={**GOOD, param: "video_nope"})
    assert (response.status_code, response.json()["error"]["param"]) == (404, param)


async def test_a_form_says_objects_as_json_text(client: httpx.AsyncClient, world: Any) -> None:
    url = "data:image/png;base64," + base64.b64encode(picture()).decode()
    form = {**GOOD, "input_reference": json.dumps({"image_url": url}), "reference_images": json.dumps([url])}
    assert (await client.post("/v1/videos", data=form)).status_code == 200
    assert len(world.generation.video_requests[0].input_images) == 2


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('{"image_url": ', "input_reference"),
        ("{}", "input_reference"),
        ('{"file_id": "a\\u0000b"}', "input_reference.file_id"),
        ('{"image_url": "https://a\\u0000b.example/"}', "input_reference.image_url"),
        ("[[]]", "input_reference"),
        ("[" * 5000, "input_reference"),
    ],
)
async def test_json_text_that_says_nothing_is_refused_by_name(
    client: httpx.AsyncClient, world: Any, text: str, param: str
) -> None:
    response = await client.post("/v1/videos", data={**GOOD, "input_reference": text})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
    assert not world.generation.video_requests


@pytest.mark.parametrize("name", ["prompt", "model", "seed"])
async def test_a_form_field_that_stands_twice_is_refused(client: httpx.AsyncClient, world: Any, name: str) -> None:
    fields = [*GOOD.items(), ("seed", "1"), (name, "2")]
    response = await client.post("/v1/videos", files=[(each, (None, value)) for each, value in fields])
    assert (response.status_code, response.json()["error"]["param"]) == (400, name)
    assert not world.generation.video_requests


async def test_files_of_one_name_are_all_taken(client: httpx.AsyncClient, world: Any) -> None:
    files = [("input_reference", (name, picture(), "image/png")) for name in ("first.png", "last.png")]
    assert (await client.post("/v1/videos", data=GOOD, files=files)).status_code == 200
    assert len(world.generation.video_requests[0].input_images) == 2


async def test_characters_are_not_there(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/videos/characters/x")
    assert response.status_code == 404


@pytest.mark.parametrize("seconds", ["0", "-1", "abc", "8.5", 1e9])
async def test_wrong_seconds_tell_what_the_model_has(client: httpx.AsyncClient, seconds: object) -> None:
    response = await client.post("/v1/videos", json={"model": "veo-3.1-fast", "prompt": "x", "seconds": seconds})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "seconds")
    assert "4, 8" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content_type", "status", "code"), [("", 404, "media_not_found"), ("video/mp4", 400, "invalid_image")]
)
async def test_a_stored_file_that_does_not_do_is_named(
    client: httpx.AsyncClient, world: Any, content_type: str, status: int, code: str
) -> None:
    if content_type:
        await world.generation.add_media("thing", b"x", content_type)
    response = await create(client, input_reference={"file_id": "thing"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, "input_reference.file_id")
