"""Google's routes without an SDK: ways to show a key, shared paths, both forms of streams, bad input."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import orjson
import pytest

from flow2api_common.errors import Conflict, DependencyUnavailable, FailedPrecondition, Flow2APIError, InternalError
from flow2api_gateway.errors.google_errors import render_google_error
from flow2api_gateway.errors.openai_table import RULES_BY_REASON
from flow2api_testing.waiting import eventually

KEY = "sk-good-key-0123456789"
MODEL = "gemini-3.1-flash-image"
GENERATE = f"/v1beta/models/{MODEL}:generateContent"
STREAM = f"/v1beta/models/{MODEL}:streamGenerateContent"
ASK = {"contents": [{"parts": [{"text": "a kite"}]}]}
NO_BEARER = {"authorization": ""}


def error_of(response: httpx.Response) -> dict[str, Any]:
    error = response.json()["error"]
    assert error["code"] == response.status_code
    assert set(error) <= {"code", "message", "status", "details"}
    return error


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"x-goog-api-key": KEY, **NO_BEARER}),
        (f"?key={KEY}", NO_BEARER),
        ("", {"authorization": f"Bearer {KEY}"}),
    ],
    ids=["header", "query", "bearer"],
)
@pytest.mark.parametrize("version", ["v1beta", "v1alpha", "v1"])
async def test_a_key_is_shown_in_three_ways(
    client: httpx.AsyncClient, version: str, query: str, headers: dict[str, str]
) -> None:
    answer = await client.post(f"/{version}/models/{MODEL}:generateContent{query}", json=ASK, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["candidates"][0]["content"]["parts"][0]["inlineData"]["mimeType"] == "image/png"
    assert answer.headers["x-request-id"]


async def test_tokens_of_a_whole_request_are_counted(client: httpx.AsyncClient) -> None:
    path = f"/v1beta/models/{MODEL}:countTokens"
    instruction = {"parts": [{"text": "in oil"}]}
    whole = {"generateContentRequest": {"model": f"models/{MODEL}", **ASK, "systemInstruction": instruction}}
    assert (await client.post(path, json=whole)).json() == {
        "totalTokens": 3,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
    }
    nothing = await client.post(path, json={})
    assert (nothing.status_code, error_of(nothing)["status"]) == (400, "INVALID_ARGUMENT")


async def test_every_version_has_uploads_and_errors_of_googles(client: httpx.AsyncClient) -> None:
    for version in ("v1beta", "v1alpha", "v1"):
        nowhere = await client.post(f"/{version}/models/{MODEL}:embedContent", json=ASK)
        assert (nowhere.status_code, error_of(nowhere)["status"]) == (404, "NOT_FOUND")
        upload = await client.post(f"/upload/{version}/files", json={})
        assert (upload.status_code, error_of(upload)["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_key_in_the_query_reaches_no_log(
    client: httpx.AsyncClient, world: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    world.generation.early_error = InternalError("broken")
    await client.post(f"{GENERATE}?key={KEY}", json=ASK, headers=NO_BEARER)
    await client.get(f"/v1beta/nothing?key={KEY}", headers=NO_BEARER)
    written = capsys.readouterr()
    assert "request_answered" in written.out + written.err
    assert KEY not in written.out + written.err


@pytest.mark.parametrize("path", ["/v1beta/models", f"/v1beta/models/{MODEL}", "/v1beta/models?key=", GENERATE])
async def test_without_a_key_nobody_learns_anything(client: httpx.AsyncClient, path: str) -> None:
    method = "POST" if path == GENERATE else "GET"
    missing = await client.request(method, path, content=b"not json", headers=NO_BEARER)
    wrong = await client.request(method, path, content=b"not json", headers={"x-goog-api-key": "sk-wrong"})
    assert (missing.status_code, error_of(missing)["status"]) == (403, "PERMISSION_DENIED")
    assert (wrong.status_code, error_of(wrong)["status"]) == (400, "INVALID_ARGUMENT")
    assert error_of(wrong)["details"][0]["reason"] == "API_KEY_INVALID"


async def test_shared_paths_answer_each_client_in_its_own_language(client: httpx.AsyncClient) -> None:
    openai = (await client.get("/v1/models")).json()
    by_key = (await client.get("/v1/models", headers={"x-goog-api-key": KEY})).json()
    by_name = (await client.get("/v1/models", headers={"x-goog-api-client": "google-genai-sdk/3.4.0"})).json()
    assert openai["object"] == "list"
    assert by_key["models"][0]["name"] == f"models/{MODEL}"
    assert by_name == by_key
    foreign = await client.post("/v1/chat/completions", json={}, headers={"x-goog-api-key": KEY, **NO_BEARER})
    assert foreign.json()["error"]["code"] == "invalid_api_key"


async def test_models_come_in_pages(client: httpx.AsyncClient) -> None:
    first = (await client.get("/v1beta/models?pageSize=2")).json()
    second = (await client.get(f"/v1beta/models?pageSize=2&pageToken={first['nextPageToken']}")).json()
    assert [len(first["models"]), len(second["models"])] == [2, 1]
    assert "nextPageToken" not in second
    for query in ("pageSize=x", "pageSize=-1", "pageToken=%27", "pageToken=99999999999999"):
        refused = await client.get(f"/v1beta/models?{query}")
        assert (refused.status_code, error_of(refused)["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_key_sees_the_models_that_it_may_use(open_client: Any, world: Any) -> None:
    world.access.allowed_models = ["veo-*"]
    async with open_client() as client:
        listed = (await client.get("/v1beta/models")).json()
        hidden = await client.get(f"/v1beta/models/{MODEL}")
        refused = await client.post(GENERATE, json=ASK)
    assert [model["name"] for model in listed["models"]] == ["models/veo-3.1-fast"]
    assert (hidden.status_code, refused.status_code) == (404, 403)
    assert error_of(refused)["details"][-1]["reason"] == "MODEL_NOT_ALLOWED"


async def test_a_stream_is_an_array_unless_events_are_asked_for(client: httpx.AsyncClient, address: str) -> None:
    array = await client.post(STREAM, json=ASK)
    assert array.headers["content-type"] == "application/json"
    assert [chunk["candidates"][0]["finishReason"] for chunk in array.json()] == ["STOP"]
    events = await client.post(f"{STREAM}?alt=sse", json=ASK)
    assert events.headers["content-type"].startswith("text/event-stream")
    data = [line.removeprefix("data: ") for line in events.text.splitlines() if line]
    assert json.loads(data[-1])["usageMetadata"]["candidatesTokenCount"] == 1120


async def test_a_quiet_array_is_kept_alive_and_stays_json(address: str, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    content, blanks = b"", 0
    async with (
        httpx.AsyncClient() as raw,
        raw.stream("POST", f"{address}{STREAM}", json=ASK, headers={"x-goog-api-key": KEY}) as answer,
    ):
        async for piece in answer.aiter_raw():
            content += piece
            blanks += piece == b"\r\n"
            if blanks == 2:
                world.generation.image_gate.set()
    assert blanks >= 2
    assert len(json.loads(content)) == 1


async def test_an_error_within_an_array_is_its_last_element(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = DependencyUnavailable("secret detail")
    answer = await client.post(STREAM, json=ASK)
    last = answer.json()[-1] if answer.status_code == 200 else answer.json()
    assert last["error"]["status"] == "UNAVAILABLE"
    assert "secret" not in answer.text


async def test_both_alphabets_and_both_spellings_are_read(
    client: httpx.AsyncClient, world: Any, make_picture: Any
) -> None:
    content = make_picture()
    for encode, names in (
        (base64.b64encode, ("inlineData", "mimeType")),
        (base64.urlsafe_b64encode, ("inline_data", "mime_type")),
    ):
        blob = {names[1]: "image/png", "data": encode(content).decode().rstrip("=")}
        parts = [{"text": "blue"}, {names[0]: blob}]
        answer = await client.post(GENERATE, json={"contents": [{"role": "user", "parts": parts}]})
        assert answer.status_code == 200
        assert world.generation.image_requests[-1].input_images[0].data == content


async def test_a_file_is_named_by_its_uri(client: httpx.AsyncClient, world: Any, make_picture: Any) -> None:
    await world.generation.add_media("up1", make_picture(), "image/png")
    for uri in ("files/up1", "http://gw.example/v1beta/files/up1", "https://x.example/v1/files/up1:download?alt=media"):
        parts = [{"text": "blue"}, {"fileData": {"fileUri": uri, "mimeType": "image/png"}}]
        assert (await client.post(GENERATE, json={"contents": [{"parts": parts}]})).status_code == 200
        assert world.generation.image_requests[-1].input_images[0].media_id == "up1"


async def test_pictures_are_converted_when_another_form_is_wanted(client: httpx.AsyncClient) -> None:
    options = {"mimeType": "image/jpeg", "compressionQuality": 60}
    config = {"imageConfig": {"imageOutputOptions": options}, "responseModalities": ["IMAGE"]}
    answer = (await client.post(GENERATE, json={**ASK, "generationConfig": config})).json()
    picture = answer["candidates"][0]["content"]["parts"][0]["inlineData"]
    assert picture["mimeType"] == "image/jpeg"
    assert base64.b64decode(picture["data"]).startswith(b"\xff\xd8\xff")


BAD_BODIES: list[tuple[Any, str]] = [
    ({}, "contents"),
    ({"contents": []}, "contents"),
    ({"contents": "a kite"}, "contents"),
    ({"contents": [{"parts": []}]}, "contents"),
    ({"contents": [{"parts": [{"text": 7}]}]}, "contents[0].parts[0].text"),
    ({"contents": [{"role": "model", "parts": [{"text": "x"}]}]}, "contents"),
    ({"contents": [{"role": "wizard", "parts": [{"text": "x"}]}]}, "contents[0].role"),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "%%%"}}]}]}, "inlineData.data"),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}]}, "inlineData.data"),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]}]}, "inlineData.data"),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "text/html", "data": "aGk="}}]}]}, "inlineData.mimeType"),
    ({"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/o"}}]}]}, "fileData.fileUri"),
    ({"contents": [{"parts": [{"fileData": {"fileUri": "http://127.0.0.1/x.png"}}]}]}, "fileData.fileUri"),
    ({**ASK, "generationConfig": {"candidateCount": 0}}, "generationConfig.candidateCount"),
    ({**ASK, "generationConfig": {"candidateCount": 2**70}}, "generationConfig.candidateCount"),
    ({**ASK, "generationConfig": {"seed": 2**40}}, "generationConfig.seed"),
    ({**ASK, "generationConfig": {"seed": "x"}}, "seed"),
    ({**ASK, "generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities"),
    ({**ASK, "generationConfig": {"responseModalities": ["TEXT"]}}, "generationConfig.responseModalities"),
    ({**ASK, "generationConfig": {"imageConfig": {"aspectRatio": "wide"}}}, "generationConfig.imageConfig.aspectRatio"),
    ({**ASK, "generationConfig": {"imageConfig": {"imageSize": "8K"}}}, "generationConfig.imageConfig.imageSize"),
    (
        {**ASK, "generationConfig": {"imageConfig": {"imageOutputOptions": {"mimeType": "image/tiff"}}}},
        "generationConfig.imageConfig.imageOutputOptions.mimeType",
    ),
    ({"contents": [{"parts": [{"text": "x" * 40_000}]}]}, "contents"),
    ({"contents": [{"parts": [{"text": "x\0"}]}]}, ""),
    ([], ""),
    ("{", ""),
]


@pytest.mark.parametrize(("body", "field"), BAD_BODIES, ids=lambda value: str(value)[:60])
@pytest.mark.parametrize("url", [GENERATE, STREAM])
async def test_a_bad_body_is_told_by_its_field(client: httpx.AsyncClient, url: str, body: Any, field: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = await client.post(url, content=content, headers={"content-type": "application/json"})
    error = error_of(answer)
    assert (answer.status_code, error["status"]) == (400, "INVALID_ARGUMENT")
    if field:
        assert field in error["details"][0]["fieldViolations"][0]["field"]


async def test_more_pictures_than_the_model_takes_are_refused(client: httpx.AsyncClient, make_picture: Any) -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(make_picture()).decode()}}
    for model, count in ((MODEL, 4), ("text-only/image", 1)):
        body = {"contents": [{"parts": [{"text": "x"}, *[blob] * count]}]}
        answer = await client.post(f"/v1beta/models/{model}:generateContent", json=body)
        assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")


async def test_sizes_and_types_of_bodies_are_told_in_googles_words(open_client: Any) -> None:
    async with open_client(max_body_bytes=10) as client:
        too_large = await client.post(GENERATE, json=ASK)
        wrong_type = await client.post(GENERATE, content=b"x", headers={"content-type": "text/html"})
    assert (too_large.status_code, error_of(too_large)["details"][-1]["reason"]) == (413, "REQUEST_TOO_LARGE")
    assert (wrong_type.status_code, error_of(wrong_type)["status"]) == (415, "INVALID_ARGUMENT")


async def test_a_repeat_with_the_same_idempotency_key_says_so(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.replays = True
    for version in ("v1", "v1beta"):
        url = f"/{version}/models/{MODEL}:generateContent"
        answer = await client.post(url, json=ASK, headers={"idempotency-key": "once"})
        assert answer.headers["idempotency-replayed"] == "true"
    assert [asked.request_id for asked in world.generation.image_requests] == ["once", "once"]
    assert len({asked.request_scope for asked in world.generation.image_requests}) == 1


@pytest.mark.parametrize("reason", [*RULES_BY_REASON, "NEVER_SEEN_BEFORE"])
def test_every_reason_has_an_answer_of_googles(reason: str) -> None:
    for path in ("/v1beta/models", "/v1beta/interactions"):
        rendered = render_google_error(Flow2APIError("x", reason=reason), path=path)
        assert 400 <= rendered.status <= 504
        assert rendered.status != 502
        assert orjson.dumps(rendered.body)
    assert rendered.body["error"]["code"].islower()


def test_errors_have_googles_words() -> None:
    told = [
        render_google_error(error).body["error"]
        for error in (
            FailedPrecondition("Later."),
            Conflict("Twice.", reason="IDEMPOTENCY_IN_PROGRESS"),
            InternalError("secret"),
        )
    ]
    assert [error["status"] for error in told] == ["FAILED_PRECONDITION", "ABORTED", "INTERNAL"]
    assert "secret" not in told[-1]["message"]


async def test_unknown_paths_are_told_in_googles_words(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v1beta/cachedContents")
    wrong_method = await client.put("/v1beta/models", json={})
    assert (unknown.status_code, error_of(unknown)["status"]) == (404, "NOT_FOUND")
    assert (wrong_method.status_code, error_of(wrong_method)["status"]) == (405, "UNIMPLEMENTED")


async def test_a_client_that_leaves_a_stream_cancels_it(address: str, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    async with (
        httpx.AsyncClient() as raw,
        raw.stream("POST", f"{address}{STREAM}?alt=sse", json=ASK, headers={"x-goog-api-key": KEY}) as answer,
    ):
        assert answer.status_code == 200
        await eventually(lambda: world.generation.image_requests)
    await asyncio.wait_for(world.generation.image_cancelled.wait(), 10)


PREDICT = "/v1beta/models/veo-3.1-fast:predictLongRunning"
START = {
    "x-goog-upload-protocol": "resumable",
    "x-goog-upload-command": "start",
    "x-goog-upload-header-content-type": "image/png",
}
LAST = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}


async def test_a_clip_takes_frames_and_references(client: httpx.AsyncClient, world: Any, make_picture: Any) -> None:
    encoded = base64.b64encode(make_picture()).decode()
    frames = {"image": {"bytesBase64Encoded": encoded}, "lastFrame": {"inlineData": {"data": encoded}}}
    parameters = {
        "durationSeconds": "4",
        "aspectRatio": "9:16",
        "resolution": "1080p",
        "seed": 3,
        "negativePrompt": "blur",
        "personGeneration": "ALLOW_ADULT",
        "generateAudio": False,
        "sampleCount": 1,
    }
    body = {"instances": [{"prompt": "waves", **frames}], "parameters": parameters}
    answer = await client.post(PREDICT, json=body, headers={"idempotency-key": "once"})
    assert answer.json() == {"name": "models/veo-3.1-fast/operations/video_1"}
    asked = world.generation.video_requests[0]
    assert [picture.role for picture in asked.input_images] == [1, 2]
    assert (asked.duration_seconds, asked.aspect_ratio, asked.resolution, asked.seed) == (4, "9:16", "1080p", 3)
    assert (asked.negative_prompt, asked.request_id) == ("blur", "once")
    assert (asked.HasField("generate_audio"), asked.generate_audio) == (True, False)
    assert asked.person_generation == "allow_adult"
    references = [{"image": {"bytesBase64Encoded": encoded}, "referenceType": "asset"}]
    await client.post(PREDICT, json={"instances": [{"prompt": "waves", "referenceImages": references}]})
    assert [picture.role for picture in world.generation.video_requests[1].input_images] == [3]


BAD_CLIPS: list[tuple[Any, str]] = [
    ({}, "instances"),
    ({"instances": []}, "instances"),
    ({"instances": [{}, {}]}, "instances"),
    ({"instances": [{}]}, "instances[0].prompt"),
    ({"instances": [{"prompt": 7}]}, "instances[0].prompt"),
    ({"instances": [{"prompt": "x", "image": {}}]}, "instances[0].image"),
    ({"instances": [{"prompt": "x", "image": {"gcsUri": "gs://a/b"}}]}, "instances[0].image"),
    ({"instances": [{"prompt": "x", "video": {"uri": "https://x.example/a.mp4"}}]}, "instances[0].video"),
    (
        {"instances": [{"prompt": "x", "referenceImages": [{"image": {}, "referenceType": "MASK"}]}]},
        "instances[0].referenceImages[0].referenceType",
    ),
    ({"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 2}}, "parameters.sampleCount"),
    ({"instances": [{"prompt": "x"}], "parameters": {"durationSeconds": 7}}, "parameters.durationSeconds"),
    ({"instances": [{"prompt": "x"}], "parameters": {"durationSeconds": "inf"}}, "parameters.durationSeconds"),
    ({"instances": [{"prompt": "x"}], "parameters": {"resolution": "8k"}}, "parameters.resolution"),
    ({"instances": [{"prompt": "x"}], "parameters": {"aspectRatio": "0:1"}}, "parameters.aspectRatio"),
    ({"instances": [{"prompt": "x"}], "parameters": {"seed": -1}}, "parameters.seed"),
    ({"instances": [{"prompt": "x" * 40_000}]}, "instances[0].prompt"),
]


@pytest.mark.parametrize(("body", "field"), BAD_CLIPS, ids=lambda value: str(value)[:60])
async def test_a_bad_clip_is_told_by_its_field(client: httpx.AsyncClient, body: Any, field: str) -> None:
    answer = await client.post(PREDICT, json=body)
    assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")
    assert field in error_of(answer)["details"][0]["fieldViolations"][0]["field"]


async def test_operations_are_read_by_both_names_and_cancelled(client: httpx.AsyncClient) -> None:
    name = (await client.post(PREDICT, json={"instances": [{"prompt": "waves"}]})).json()["name"]
    assert (await client.get(f"/v1/{name}")).json()["name"] == name
    assert (await client.get("/v1beta/operations/video_1")).json()["name"] == name
    early = await client.get("/v1beta/files/video1:download?alt=media")
    assert (early.status_code, error_of(early)["status"]) == (400, "FAILED_PRECONDITION")
    assert (await client.post(f"/v1beta/{name}:cancel")).json() == {}
    assert (await client.get(f"/v1beta/{name}")).json()["error"]["code"] == 1
    unknown = await client.get("/v1beta/operations/video_9")
    assert (unknown.status_code, error_of(unknown)["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("name", ["nope", "video9", "videoz", "..", "%27", "x" * 300])
async def test_files_of_nobody_and_of_others_are_told_alike(client: httpx.AsyncClient, name: str) -> None:
    for method, path in (("GET", name), ("DELETE", name), ("GET", f"{name}:download?alt=media")):
        answer = await client.request(method, f"/v1beta/files/{path}", headers={"x-goog-api-key": KEY})
        assert answer.status_code in (403, 404)


async def _upload_path(client: httpx.AsyncClient, **headers: str) -> str:
    begun = await client.post("/upload/v1/files", json={}, headers={**START, **headers})
    assert (begun.status_code, begun.headers["x-goog-upload-status"]) == (200, "active"), begun.text
    return begun.headers["x-goog-upload-url"].removeprefix("http://gw.example")


async def test_an_upload_goes_to_its_address_without_a_key(client: httpx.AsyncClient, make_picture: Any) -> None:
    path = await _upload_path(client)
    stored = await client.post(path, content=make_picture(), headers={**LAST, **NO_BEARER})
    assert (stored.status_code, stored.headers["x-goog-upload-status"]) == (200, "final")
    assert stored.json()["file"]["uri"] == "http://gw.example/v1beta/files/up0"
    refused = await client.get("/v1beta/files/up0:download?alt=media")
    assert (refused.status_code, error_of(refused)["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-goog-upload-protocol": "multipart"},
        {"x-goog-upload-command": "finalize"},
        {"x-goog-upload-header-content-type": "video/mp4"},
        {"x-goog-upload-header-content-type": ""},
        {"x-goog-upload-header-content-length": "-5"},
    ],
    ids=str,
)
async def test_an_upload_that_cannot_be_is_refused_before_its_bytes(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.post("/upload/v1beta/files", json={}, headers={**START, **headers})
    assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")


async def test_too_large_an_upload_is_refused(open_client: Any) -> None:
    async with open_client(max_image_bytes=100) as client:
        declared = await client.post(
            "/upload/v1beta/files", json={}, headers={**START, "x-goog-upload-header-content-length": "101"}
        )
        path = await _upload_path(client)
        sent = await client.post(path, content=bytes(101), headers=LAST)
        behind = await client.post(path, content=b"x", headers={**LAST, "x-goog-upload-offset": "101"})
    assert [answer.status_code for answer in (declared, sent, behind)] == [413, 413, 413]


async def test_wrong_bytes_offsets_and_tickets_are_refused(client: httpx.AsyncClient, make_picture: Any) -> None:
    path = await _upload_path(client, **{"x-goog-upload-header-content-length": "5000"})
    content = make_picture()
    cases = [
        (path, content, LAST),  # Another size than announced.
        (path, content, {**LAST, "x-goog-upload-offset": "7"}),  # The bytes before never came.
        (path, content, {**LAST, "x-goog-upload-offset": "x"}),
        (path, content, {"x-goog-upload-command": "query"}),
        (path, b"", {"x-goog-upload-command": "upload", "x-goog-upload-offset": "0"}),
        (await _upload_path(client), b"no picture", LAST),
    ]
    for target, sent, headers in cases:
        answer = await client.post(target, content=sent, headers=headers)
        assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")
    for forged in ("x", "x.y", path.partition("upload_id=")[2].partition("&")[0][:-3] + "abc", "%ff.%ff"):
        answer = await client.post(f"/upload/v1beta/files?upload_id={forged}", content=content, headers=LAST)
        assert (answer.status_code, error_of(answer)["status"]) == (404, "NOT_FOUND")


async def test_pieces_of_an_upload_are_joined_and_removed(
    client: httpx.AsyncClient, world: Any, make_picture: Any
) -> None:
    content = make_picture()
    path = await _upload_path(client)
    for start, command in ((0, "upload"), (10, "upload"), (10, "upload"), (30, "upload, finalize")):
        piece = content[start:] if command != "upload" else content[start : {0: 10, 10: 30}[start]]
        headers = {"x-goog-upload-command": command, "x-goog-upload-offset": str(start)}
        assert (await client.post(path, content=piece, headers=headers)).status_code == 200
    assert world.generation.uploads == {"up0": content}
    repeated = await client.post(path, content=b"x", headers={**LAST, "x-goog-upload-offset": "30"})
    assert repeated.status_code == 400
