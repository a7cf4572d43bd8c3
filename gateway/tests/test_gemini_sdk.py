"""Google's own SDK over a real socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from flow2api_common.errors import CapacityError, UpstreamRejected, UpstreamUnavailable
from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
MODEL = "gemini-3.1-flash-image"
VIDEO = "veo-3.1-fast"
API_KEY = "sk-good-key-0123456789"


@pytest.fixture
async def google(address: str) -> AsyncIterator[genai.Client]:
    client = genai.Client(api_key=API_KEY, http_options={"base_url": address})
    try:
        yield client
    finally:
        await client.aio.aclose()
        client.close()


@pytest.fixture(params=["v1", "v1beta"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pictures_of(answer: types.GenerateContentResponse) -> list[Image.Image]:
    blobs = [
        part.inline_data.data
        for candidate in answer.candidates or []
        for part in (candidate.content.parts if candidate.content else None) or []
        if part.inline_data and part.inline_data.data
    ]
    return [Image.open(io.BytesIO(blob)) for blob in blobs]


async def test_models_are_listed_and_read_under_both_versions(address: str, version: str) -> None:
    async with genai.Client(api_key=API_KEY, http_options={"base_url": address, "api_version": version}).aio as google:
        names = [model.name async for model in await google.models.list(config={"page_size": 2})]
        model = await google.models.get(model="models/text-only/image")
    assert names == [f"models/{MODEL}", "models/text-only/image", "models/veo-3.1-fast"]
    assert (model.name, model.supported_actions) == (
        "models/text-only/image",
        ["generateContent", "createInteraction"],
    )


async def test_a_picture_comes_inside_the_answer(google: genai.Client, world: Any) -> None:
    config = types.GenerateContentConfig(
        system_instruction="In ink.",
        seed=7,
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K"),
        safety_settings=[
            types.SafetySetting(
                category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, threshold=types.HarmBlockThreshold.OFF
            )
        ],
    )
    answer = await google.aio.models.generate_content(model=MODEL, contents="a kite", config=config)
    asked = world.generation.image_requests[0]
    assert (asked.prompt, asked.seed, asked.aspect_ratio, asked.resolution) == ("In ink.\na kite", 7, "16:9", "2K")
    assert (asked.api_key_id, asked.image_count) == ("key_1", 1)
    assert [picture.size for picture in pictures_of(answer)] == [(64, 36)]
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.candidates_token_count, answer.usage_metadata.total_token_count) == (1120, 1132)
    assert (answer.model_version, bool(answer.response_id)) == (MODEL, True)


async def test_the_synchronous_client_in_a_thread(address: str) -> None:
    def ask() -> types.GenerateContentResponse:
        with genai.Client(api_key=API_KEY, http_options={"base_url": address}) as google:
            return google.models.generate_content(model=MODEL, contents="a kite")

    assert len(pictures_of(await asyncio.to_thread(ask))) == 1


async def test_several_candidates_are_several_pictures(google: genai.Client) -> None:
    answer = await google.aio.models.generate_content(
        model=MODEL, contents="a kite", config=types.GenerateContentConfig(candidate_count=2)
    )
    assert [candidate.index for candidate in answer.candidates or []] == [0, 1]
    assert len(pictures_of(answer)) == 2


async def test_without_a_ratio_a_picture_is_square_and_an_edit_keeps_its_own(
    google: genai.Client, world: Any, make_picture: Any
) -> None:
    part = types.Part.from_bytes(data=make_picture(40, 30), mime_type="image/png")
    await google.aio.models.generate_content(model=MODEL, contents="a kite")
    await google.aio.models.generate_content(model=MODEL, contents=["make it blue", part])
    assert [asked.aspect_ratio for asked in world.generation.image_requests] == ["1:1", ""]
    assert world.generation.image_requests[1].input_images[0].data == make_picture(40, 30)


async def test_a_conversation_goes_on_from_its_last_picture(google: genai.Client, world: Any) -> None:
    chat = google.aio.chats.create(model=MODEL)
    first = await chat.send_message("a kite")
    await chat.send_message("now blue")
    asked = world.generation.image_requests[1]
    assert asked.prompt == "now blue"
    assert first.candidates is not None
    content = first.candidates[0].content
    assert content is not None
    assert content.parts is not None
    assert content.parts[-1].inline_data is not None
    assert [each.data for each in asked.input_images] == [content.parts[-1].inline_data.data]


async def test_a_stream_survives_quiet_times(google: genai.Client, world: Any, address: str) -> None:
    world.generation.image_gate = asyncio.Event()
    asking = asyncio.create_task(_chunks(google))
    await eventually(lambda: world.generation.image_requests)
    # A younger stream without the SDK shows when heartbeats were sent on both.
    url = f"{address}/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    async with (
        httpx.AsyncClient() as raw,
        raw.stream("POST", url, json=body, headers={"x-goog-api-key": API_KEY}) as younger,
    ):
        pieces = younger.aiter_raw()
        assert [await anext(pieces) for _ in range(3)] == [b"\r\n"] * 3
        world.generation.image_gate.set()
    chunks = await asking
    assert len(pictures_of(chunks[-1])) == 1
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata.candidates_token_count == 1120


async def _chunks(google: genai.Client) -> list[Any]:
    stream = await google.aio.models.generate_content_stream(model=MODEL, contents="a kite")
    return [chunk async for chunk in stream]


async def test_an_error_in_a_stream_that_has_begun_is_the_sdks(google: genai.Client, world: Any) -> None:
    world.generation.late_error = UpstreamUnavailable("The upstream broke.", paid=True)
    with pytest.raises(errors.APIError) as caught:
        await _chunks(google)
    assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")


async def test_a_client_that_leaves_cancels_the_generation(google: genai.Client, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    asking = asyncio.create_task(google.aio.models.generate_content(model=MODEL, contents="a kite"))
    await eventually(lambda: world.generation.image_requests)
    asking.cancel()
    await asyncio.wait_for(world.generation.image_cancelled.wait(), 10)


@pytest.mark.parametrize(
    ("upstream_reason", "block_reason"),
    [("SAFETY", types.BlockedReason.SAFETY), ("", types.BlockedReason.PROHIBITED_CONTENT)],
)
async def test_a_refused_prompt_is_an_answer(
    google: genai.Client, world: Any, upstream_reason: str, block_reason: types.BlockedReason
) -> None:
    world.generation.late_error = UpstreamRejected("Not that.", metadata={"upstream_reason": upstream_reason})
    answer = await google.aio.models.generate_content(model=MODEL, contents="a kite")
    assert answer.candidates is None
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == block_reason
    streamed = await _chunks(google)
    assert streamed[-1].prompt_feedback.block_reason == block_reason


async def test_a_refused_picture_is_a_candidate_without_one(google: genai.Client, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("Not that.", metadata={"upstream_reason": "IMAGE_SAFETY"})
    answer = await google.aio.models.generate_content(model=MODEL, contents="a kite")
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.IMAGE_SAFETY


async def test_a_wrong_key_is_a_bad_argument(address: str) -> None:
    async with genai.Client(api_key="sk-wrong", http_options={"base_url": address}).aio as google:
        with pytest.raises(errors.ClientError) as caught:
            await google.models.generate_content(model=MODEL, contents="a kite")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    assert caught.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize("model", ["no-such-model", "veo-3.1-fast"])
async def test_a_model_that_makes_no_pictures_is_not_found(google: genai.Client, model: str) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await google.aio.models.generate_content(model=model, contents="a kite")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_capacity_tells_when_to_come_back(google: genai.Client, world: Any) -> None:
    world.generation.early_error = CapacityError(
        "Too many requests.", reason="REQUESTS_PER_MINUTE", retry_after=timedelta(seconds=22)
    )
    with pytest.raises(errors.ClientError) as caught:
        await google.aio.models.generate_content(model=MODEL, contents="a kite")
    details = caught.value.details["error"]["details"]
    assert (caught.value.code, caught.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert "PerMinute" in details[0]["violations"][0]["quotaId"]
    assert details[-1]["retryDelay"] == "22s"


@pytest.mark.parametrize("padding", [0, 9 << 20], ids=["one piece", "two pieces"])
async def test_an_uploaded_picture_is_edited(google: genai.Client, world: Any, make_picture: Any, padding: int) -> None:
    # Bytes after the end of a PNG file do not matter; the SDK sends 8 MiB at a time.
    content = make_picture() + bytes(padding)
    file = await google.aio.files.upload(
        file=io.BytesIO(content), config={"mime_type": "image/png", "display_name": "ref"}
    )
    assert (file.state, file.display_name, file.mime_type) == (types.FileState.ACTIVE, "ref", "image/png")
    assert list(world.generation.uploads.values()) == [content]
    await google.aio.models.generate_content(model=MODEL, contents=["make it blue", file])
    assert world.generation.image_requests[0].input_images[0].media_id == "up0"
    assert [each.name async for each in await google.aio.files.list()] == [file.name, "files/pic1"][::-1]
    assert file.name is not None
    assert (await google.aio.files.get(name=file.name)).uri == file.uri
    await google.aio.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as caught:
        await google.aio.files.get(name=file.name)
    assert (caught.value.code, caught.value.status) == (403, "PERMISSION_DENIED")


async def start_clip(address: str, **instance: Any) -> str:
    """The name of a new operation. The SDK sends this call to Vertex only, since its version 3."""
    body = {"instances": [{"prompt": "waves", **instance}], "parameters": {"durationSeconds": 8}}
    async with httpx.AsyncClient() as raw:
        url = f"{address}/v1beta/models/{VIDEO}:predictLongRunning"
        answer = await raw.post(url, json=body, headers={"x-goog-api-key": API_KEY})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["name"])


async def test_a_clip_is_followed_downloaded_and_extended(google: genai.Client, world: Any, address: str) -> None:
    name = await start_clip(address)
    assert name == f"models/{VIDEO}/operations/video_1"
    running = await google.aio.operations.get(types.GenerateVideosOperation(name=name))
    assert not running.done
    await world.generation.complete_video("video_1")
    done = await google.aio.operations.get(running)
    assert done.done
    assert done.response is not None
    assert done.response.generated_videos is not None
    video = done.response.generated_videos[0].video
    assert video is not None
    content = await google.aio.files.download(file=video)
    assert content[4:8] == b"ftyp"
    assert await google.aio.files.download(file="files/video1") == content
    assert (await google.aio.files.get(name="files/video1")).download_uri == video.uri
    await start_clip(address, video={"uri": video.uri})
    assert world.generation.video_requests[1].source_video_id == "video_1"
    await start_clip(address, video={"encodedVideo": base64.b64encode(content).decode(), "encoding": "video/mp4"})
    assert world.generation.video_requests[2].source_sha256 == hashlib.sha256(content).digest()


async def test_ends_without_a_clip_are_told_by_the_operation(google: genai.Client, world: Any, address: str) -> None:
    names = [await start_clip(address) for _ in range(3)]
    failed = video_pb2.VideoError(code="upstream_error", message="It broke.")
    refused = video_pb2.VideoError(code="content_policy_violation", message="Not that.")
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_FAILED, error=failed)
    await world.generation.change_video("video_2", state=video_pb2.VIDEO_STATE_FILTERED, error=refused)
    await world.generation.change_video("video_3", state=video_pb2.VIDEO_STATE_CANCELLED)
    told = [await google.aio.operations.get(types.GenerateVideosOperation(name=name)) for name in names]
    assert all(operation.done for operation in told)
    assert told[0].error is not None
    assert told[0].error["code"] == 14
    assert told[1].response is not None
    assert told[1].response.rai_media_filtered_reasons == ["Not that."]
    assert told[2].error is not None
    assert told[2].error["code"] == 1


async def test_tokens_are_counted_without_asking_anybody(google: genai.Client, world: Any) -> None:
    picture = types.Part.from_bytes(data=b"never looked at", mime_type="image/png")
    counted = await google.aio.models.count_tokens(model=MODEL, contents=["a kite over the sea", picture])
    assert counted.total_tokens == 5 + 258
    assert world.generation.image_requests == []
    with pytest.raises(errors.ClientError) as caught:
        await google.aio.models.count_tokens(model="veo-3.1-fast", contents="a kite")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")


async def test_embedding_is_told_not_to_be_there(google: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        await google.aio.models.embed_content(model=MODEL, contents="a kite")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    assert "batchEmbedContents" in str(caught.value)
