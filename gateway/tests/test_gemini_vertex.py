"""Google's own SDK in its Vertex mode over a real socket: an API key of ours, shown as access token or express key."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from google import genai
from google.auth.credentials import Credentials
from google.genai import errors, types
from google.oauth2 import credentials as oauth2_credentials
from PIL import Image

from flow2api_common.errors import CapacityError, UpstreamRejected
from flow2api_gateway.gemini.videos.grpc_to_vertex_operations import encoded
from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.gateway_peers.content import MP4

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
MODEL = "gemini-3.1-flash-image"
VIDEO = "veo-3.1-fast"
API_KEY = "sk-good-key-0123456789"
PROJECT = "/v1beta1/projects/any/locations/us-central1"
GENERATE = f"{PROJECT}/publishers/google/models/{MODEL}:generateContent"
ASK = {"contents": [{"role": "user", "parts": [{"text": "a kite"}]}]}
NO_BEARER = {"authorization": ""}


def bearer(token: str) -> Credentials:
    """Credentials that are what they are: nothing is exchanged for them."""
    made: Credentials = oauth2_credentials.Credentials(token=token)  # type: ignore[no-untyped-call]
    return made


def vertex(address: str, token: str = API_KEY) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project="any",
        location="us-central1",
        credentials=bearer(token),
        http_options={"base_url": address},
    )


@pytest.fixture(params=["project", "express"])
async def google(address: str, request: pytest.FixtureRequest) -> AsyncIterator[genai.Client]:
    if request.param == "project":
        client = vertex(address)
    else:
        client = genai.Client(vertexai=True, api_key=API_KEY, http_options={"base_url": address})
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


def picture(answer: types.GenerateContentResponse) -> Image.Image:
    assert answer.candidates
    content = answer.candidates[0].content
    assert content is not None
    blobs = [part.inline_data.data for part in content.parts or [] if part.inline_data and part.inline_data.data]
    return Image.open(io.BytesIO(blobs[-1]))


async def test_a_picture_has_what_vertex_adds(google: genai.Client) -> None:
    answer = await google.aio.models.generate_content(model=MODEL, contents="a kite")
    assert picture(answer).size == (64, 36)
    assert answer.create_time is not None
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.traffic_type == types.TrafficType.ON_DEMAND
    stream = await google.aio.models.generate_content_stream(model=MODEL, contents="a kite")
    chunks = [chunk async for chunk in stream]
    assert picture(chunks[-1]).size == (64, 36)


@pytest.mark.parametrize(("told", "word"), [("ALLOW_ADULT", "allow_adult"), ("ALLOW_NONE", "dont_allow"), (None, "")])
async def test_people_that_may_be_shown_are_told(google: genai.Client, world: Any, told: str | None, word: str) -> None:
    config = types.GenerateContentConfig(image_config=types.ImageConfig(person_generation=told))
    await google.aio.models.generate_content(model=MODEL, contents="a kite", config=config)
    assert world.generation.image_requests[0].person_generation == word


async def test_a_clip_comes_inside_its_operation(google: genai.Client, world: Any) -> None:
    config = types.GenerateVideosConfig(
        duration_seconds=8, aspect_ratio="9:16", negative_prompt="blur", person_generation="allow_adult"
    )
    operation = await google.aio.models.generate_videos(model=VIDEO, prompt="waves", config=config)
    asked = world.generation.video_requests[0]
    assert (asked.prompt, asked.aspect_ratio, asked.negative_prompt) == ("waves", "9:16", "blur")
    assert operation.name is not None
    assert f"publishers/google/models/{VIDEO}/operations/" in operation.name
    assert not (await google.aio.operations.get(operation)).done
    await world.generation.complete_video(operation.name.rpartition("/")[2])
    finished = await google.aio.operations.get(operation)
    assert finished.response is not None
    assert finished.response.generated_videos
    video = finished.response.generated_videos[0].video
    assert video is not None
    assert (video.video_bytes, video.mime_type, video.uri) == (MP4, "video/mp4", None)
    longer = types.GenerateVideosSource(prompt="on", video=types.Video(uri=operation.name, mime_type="video/mp4"))
    await google.aio.models.generate_videos(model=VIDEO, source=longer)
    assert f"operations/{world.generation.video_requests[1].source_video_id}" in operation.name
    await google.aio.models.generate_videos(model=VIDEO, source=types.GenerateVideosSource(prompt="on", video=video))
    asked = world.generation.video_requests[2]
    assert (asked.source_sha256, asked.source_video_id) == (hashlib.sha256(MP4).digest(), "")


@pytest.mark.parametrize("lengths", [[], [1], [2, 2, 2], [3], [4, 0, 1, 5, 1000]])
async def test_pieces_of_any_length_are_one_text_in_base64(lengths: list[int]) -> None:
    pieces = [bytes(range(length % 256)) * 3 for length in lengths]

    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    text = b"".join([piece async for piece in encoded(source())])
    assert text == base64.b64encode(b"".join(pieces))


async def test_filtered_and_failed_clips_are_told_apart(google: genai.Client, world: Any) -> None:
    operation = await google.aio.models.generate_videos(model=VIDEO, prompt="waves")
    assert operation.name is not None
    video_id = operation.name.rpartition("/")[2]
    error = video_pb2.VideoError(code="CONTENT_REJECTED", message="Not that.")
    await world.generation.change_video(video_id, state=video_pb2.VIDEO_STATE_FILTERED, error=error)
    filtered = (await google.aio.operations.get(operation)).response
    assert filtered is not None
    assert (filtered.rai_media_filtered_count, filtered.rai_media_filtered_reasons) == (1, ["Not that."])
    error = video_pb2.VideoError(code="UPSTREAM_TIMEOUT", message="Too slow.")
    await world.generation.change_video(video_id, state=video_pb2.VIDEO_STATE_FAILED, error=error)
    failed = await google.aio.operations.get(operation)
    assert failed.error is not None
    assert failed.error["code"] == 4


async def test_interactions_are_those_of_the_other_api(address: str) -> None:
    async with vertex(address).aio as google:
        made: Any = await google.interactions.create(model=MODEL, input="a kite")
        again: Any = await google.interactions.get(made.id)
    assert made.status == "completed"
    assert made.steps[-1].content[0].data == again.steps[-1].content[0].data


async def test_models_are_listed_and_read(google: genai.Client) -> None:
    names = [model.name async for model in await google.aio.models.list(config={"page_size": 2})]
    assert f"publishers/google/models/{VIDEO}" in names
    assert len(names) == 3
    assert (await google.aio.models.get(model=VIDEO)).name == f"publishers/google/models/{VIDEO}"
    with pytest.raises(errors.ClientError) as refusal:
        await google.aio.models.get(model="no-such-model")
    assert refusal.value.code == 404


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_wrong_key_is_what_vertex_calls_it(client: httpx.AsyncClient, version: str) -> None:
    path = GENERATE.replace("v1beta1", version)
    missing = await client.post(path, content=b"not json", headers=NO_BEARER)
    wrong = await client.post(path, content=b"not json", headers={"authorization": "Bearer sk-wrong"})
    express = await client.post(
        f"/{version}/publishers/google/models/{MODEL}:generateContent",
        json=ASK,
        headers={"x-goog-api-key": "sk-wrong", **NO_BEARER},
    )
    for answer, reason in ((missing, "CREDENTIALS_MISSING"), (wrong, "ACCESS_TOKEN_TYPE_UNSUPPORTED")):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["status"]) == (401, 401, "UNAUTHENTICATED")
        assert error["details"][0]["reason"] == reason
    assert express.status_code == 400
    assert express.json()["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_errors_are_googles(google: genai.Client, world: Any) -> None:
    with pytest.raises(errors.ClientError) as unknown:
        await google.aio.models.generate_content(model="no-such-model", contents="x")
    assert (unknown.value.code, unknown.value.status) == (404, "NOT_FOUND")
    world.generation.early_error = CapacityError("busy", reason="NO_TOKEN_AVAILABLE", retry_after=timedelta(seconds=7))
    with pytest.raises(errors.ClientError) as busy:
        await google.aio.models.generate_content(model=MODEL, contents="x")
    assert (busy.value.code, busy.value.status) == (429, "RESOURCE_EXHAUSTED")
    world.generation.early_error = UpstreamRejected("Not that.", metadata={"upstream_reason": "SAFETY"})
    blocked = await google.aio.models.generate_content(model=MODEL, contents="x")
    assert blocked.prompt_feedback is not None
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY


@pytest.mark.parametrize(
    ("method", "body", "field"),
    [
        (
            f"/publishers/google/models/{VIDEO}:predictLongRunning",
            {"instances": [{"prompt": "x"}], "parameters": {"storageUri": "gs://bucket/out/"}},
            "parameters.storageUri",
        ),
        (
            f"/publishers/google/models/{VIDEO}:predictLongRunning",
            {"instances": [{"prompt": "x", "video": {"gcsUri": "gs://bucket/a.mp4", "mimeType": "video/mp4"}}]},
            "instances[0].video",
        ),
        (
            f"/publishers/google/models/{VIDEO}:predictLongRunning",
            {"instances": [{"prompt": "x", "video": {"bytesBase64Encoded": "?", "mimeType": "video/mp4"}}]},
            "instances[0].video",
        ),
        (
            f"/publishers/google/models/{VIDEO}:fetchPredictOperation",
            {"operationName": "projects/other/locations/x/publishers/google/models/y/operations/video_1"},
            "operationName",
        ),
    ],
)
async def test_what_vertex_alone_can_do_is_refused_by_name(
    client: httpx.AsyncClient, method: str, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(f"{PROJECT}{method}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["fieldViolations"][0]["field"] == field


async def test_a_bucket_for_an_interaction_is_refused_by_name(client: httpx.AsyncClient) -> None:
    wanted = {"type": "image", "delivery": "uri", "gcs_uri": "gs://bucket/out/"}
    body = {"model": MODEL, "input": "a kite", "response_format": wanted}
    answer = await client.post(f"{PROJECT}/interactions", json=body)
    assert answer.status_code == 400
    assert "gcs_uri" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", [f"{PROJECT}/publishers/google/models/{MODEL}:computeTokens", f"{PROJECT}/endpoints/1:predict"]
)
async def test_other_methods_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_an_operation_of_nobody_is_not_found(client: httpx.AsyncClient) -> None:
    model = f"projects/any/locations/us-central1/publishers/google/models/{VIDEO}"
    body = {"operationName": f"{model}/operations/video_00"}
    answer = await client.post(f"/v1/{model}:fetchPredictOperation", json=body)
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
