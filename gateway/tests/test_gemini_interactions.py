"""Interactions through Google's SDK, and without it for what the SDK does not send."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google import genai
from PIL import Image

from flow2api_common.errors import UpstreamRejected
from flow2api_gateway.gemini.interactions.references import InteractionReference
from flow2api_proto.generation.v1 import image_pb2, media_pb2, video_pb2
from flow2api_testing.waiting import eventually

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
IMAGE = "gemini-3.1-flash-image"
VIDEO = "veo-3.1-fast"
CLIP_USAGE = image_pb2.Usage(
    input_tokens=270, input_text_tokens=12, input_image_tokens=258, output_tokens=46_336, thought_tokens=3
)
API_KEY = "sk-good-key-0123456789"
PATH = "/v1beta/interactions"


@pytest.fixture
async def google(address: str) -> AsyncIterator[Any]:
    client = genai.Client(api_key=API_KEY, http_options={"base_url": address})
    try:
        yield client.aio
    finally:
        await client.aio.aclose()
        client.close()


async def test_a_clip_is_made_in_the_background(google: Any, world: Any) -> None:
    interaction = await google.interactions.create(
        model=VIDEO,
        input="waves",
        response_format={"type": "video", "aspect_ratio": "9:16", "duration": "4s", "delivery": "uri"},
        background=True,
    )
    assert interaction.status == "in_progress"
    asked = world.generation.video_requests[0]
    assert (asked.prompt, asked.aspect_ratio, asked.duration_seconds) == ("waves", "9:16", 4)
    await world.generation.change_video("video_1", usage=CLIP_USAGE)
    await world.generation.complete_video("video_1")
    done = await google.interactions.get(interaction.id)
    assert (done.id, done.status, done.model) == (interaction.id, "completed", VIDEO)
    assert (done.usage.total_input_tokens, done.usage.total_output_tokens, done.usage.total_tokens) == (
        270,
        46_336,
        46_609,
    )
    assert done.usage.total_thought_tokens == 3
    by_modality = [(each.modality, each.tokens) for each in done.usage.input_tokens_by_modality]
    assert by_modality == [("text", 12), ("image", 258)]
    assert [(each.modality, each.tokens) for each in done.usage.output_tokens_by_modality] == [("video", 46_336)]
    uri = done.steps[-1].content[0].uri
    content = await google.files.download(file="files/" + uri.split("/files/")[1].split(":")[0])
    assert content[4:8] == b"ftyp"
    await google.interactions.create(
        model=VIDEO, input="further", previous_interaction_id=interaction.id, background=True
    )
    assert world.generation.video_requests[1].source_video_id == "video_1"


async def test_a_clip_is_waited_for_and_comes_inside(google: Any, world: Any, make_picture: Any) -> None:
    part = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(make_picture()).decode()}
    asking = asyncio.create_task(
        google.interactions.create(
            model=VIDEO,
            input=[{"type": "text", "text": "it moves"}, part],
            generation_config={"video_config": {"task": "image_to_video"}},
        )
    )
    await eventually(lambda: world.generation.videos)
    await world.generation.complete_video("video_1")
    interaction = await asking
    assert interaction.status == "completed"
    assert base64.b64decode(interaction.steps[-1].content[0].data)[4:8] == b"ftyp"
    pictures = world.generation.video_requests[0].input_images
    assert [picture.role for picture in pictures] == [media_pb2.INPUT_IMAGE_ROLE_FIRST_FRAME]


async def test_a_clip_that_is_too_large_for_an_answer_comes_as_a_file(google: Any, world: Any) -> None:
    interaction = await google.interactions.create(model=VIDEO, input="waves", background=True)
    await world.generation.complete_video("video_1")
    world.generation.videos["video_1"].media.size_bytes = 200_000_000
    (content,) = (await google.interactions.get(interaction.id)).steps[-1].content
    assert content.data is None
    assert "/v1beta/files/" in content.uri


async def test_a_picture_is_made_found_again_and_edited(google: Any, world: Any) -> None:
    interaction = await google.interactions.create(
        model=IMAGE,
        input="a kite",
        response_format={"type": "image", "aspect_ratio": "16:9", "image_size": "2K", "mime_type": "image/jpeg"},
    )
    content = base64.b64decode(interaction.steps[-1].content[0].data)
    assert Image.open(io.BytesIO(content)).format == "JPEG"
    again = await google.interactions.get(interaction.id)
    assert (interaction.usage is None, again.usage is None) == (False, True)
    assert base64.b64decode(again.steps[-1].content[0].data) == content
    await google.interactions.create(model=IMAGE, input="now blue", previous_interaction_id=interaction.id)
    first, second = world.generation.image_requests
    assert (first.aspect_ratio, first.resolution) == ("16:9", "2K")
    assert (second.prompt, second.input_images[0].media_id) == ("now blue", "pic0")
    await google.interactions.delete(interaction.id)
    with pytest.raises(Exception, match="no such file"):
        await google.interactions.get(interaction.id)


async def test_an_interaction_is_streamed(google: Any, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    stream = asyncio.create_task(_events(google, model=IMAGE, input="a kite"))
    await eventually(lambda: world.generation.image_requests)
    world.generation.image_gate.set()
    events = await stream
    kinds = [event.event_type for event in events]
    assert kinds == [
        "interaction.created",
        "interaction.status_update",
        "step.start",
        "step.delta",
        "step.stop",
        "interaction.completed",
    ]
    assert events[0].interaction.id == events[-1].interaction.id


async def _events(google: Any, **asked: Any) -> list[Any]:
    return [event async for event in await google.interactions.create(stream=True, **asked)]


async def test_a_streamed_clip_is_kept_alive_until_it_is_there(google: Any, world: Any) -> None:
    stream = await google.interactions.create(model=VIDEO, input="waves", stream=True)
    events = aiter(stream)
    assert (await anext(events)).event_type == "interaction.created"
    await eventually(lambda: world.generation.watches)
    await world.generation.change_video("video_1", usage=CLIP_USAGE)
    await world.generation.complete_video("video_1")
    last = [event async for event in events][-1]
    assert last.event_type == "interaction.completed"
    assert last.interaction.usage.total_output_tokens == 46_336


async def test_an_interaction_is_cancelled_and_deleted(google: Any) -> None:
    interaction = await google.interactions.create(model=VIDEO, input="waves", background=True)
    assert (await google.interactions.cancel(interaction.id)).status == "cancelled"
    await google.interactions.delete(interaction.id)
    with pytest.raises(Exception, match="no such video"):
        await google.interactions.get(interaction.id)


async def test_a_refused_clip_has_failed_and_says_why(google: Any, world: Any, address: str) -> None:
    interaction = await google.interactions.create(model=VIDEO, input="waves", background=True)
    error = video_pb2.VideoError(code="content_policy_violation", message="Not that.")
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_FILTERED, error=error)
    async with httpx.AsyncClient() as raw:
        url = f"{address}/v1/interactions/{interaction.id}"
        document = (await raw.get(url, headers={"x-goog-api-key": API_KEY})).json()
    assert (document["status"], document["errors"]) == (
        "failed",
        [{"code": "content_blocked", "message": "Not that."}],
    )


async def test_events_are_taken_up_again_after_the_last_one_seen(client: httpx.AsyncClient) -> None:
    made = (await client.post(PATH, json={"model": IMAGE, "input": "a kite"})).json()
    whole = await client.get(f"{PATH}/{made['id']}?stream=true")
    rest = await client.get(f"{PATH}/{made['id']}?stream=true&last_event_id=3")
    assert whole.text.count("event: ") == 6
    assert [line for line in rest.text.splitlines() if line.startswith("event: ")] == [
        "event: step.stop",
        "event: interaction.completed",
    ]
    assert rest.text.endswith("data: [DONE]\n\n")


async def test_a_conversation_goes_on_from_its_last_picture(
    client: httpx.AsyncClient, world: Any, make_picture: Any
) -> None:
    picture = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(make_picture()).decode()}
    turns = [
        {"type": "user_input", "content": "a kite"},
        {"type": "model_output", "content": [picture]},
        {"type": "user_input", "content": [{"type": "text", "text": "now blue"}]},
    ]
    answer = await client.post(PATH, json={"model": f"models/{IMAGE}", "input": turns, "system_instruction": "In ink."})
    assert answer.status_code == 200
    asked = world.generation.image_requests[0]
    assert (asked.prompt, asked.input_images[0].data) == ("In ink.\nnow blue", make_picture())


async def test_a_refused_picture_is_told_by_its_word(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("Not that.")
    answer = await client.post(PATH, json={"model": IMAGE, "input": "a kite"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "content_blocked")
    streamed = await client.post(PATH, json={"model": IMAGE, "input": "a kite", "stream": True})
    assert "content_blocked" in streamed.text


BAD: list[dict[str, Any]] = [
    {"input": ""},
    {"input": []},
    {"input": [{}]},
    {"input": [{"type": 7}]},
    {"input": [{"type": "audio", "data": "aGk="}]},
    {"input": [{"type": "image"}]},
    {"input": [{"type": "image", "data": "%%"}]},
    {"input": [{"type": "image", "uri": "gs://a/b"}]},
    {"input": [{"type": "video", "uri": "https://x.example/a.mp4"}]},
    {"input": [{"type": "model_output", "content": "x"}]},
    {"input": "x", "response_format": {"type": "video"}},
    {"input": "x", "response_format": {"type": "image", "delivery": "pigeon"}},
    {"input": "x", "response_format": {"type": "image", "mime_type": "image/tiff"}},
    {"input": "x", "response_format": {"type": "image", "image_size": "9K"}},
    {"input": "x", "response_format": {"type": "image", "aspect_ratio": "wide"}},
    {"input": "x", "generation_config": {"seed": 2**40}},
    {"model": VIDEO, "input": "x", "response_format": {"type": "image"}},
    {"model": VIDEO, "input": "x", "response_format": {"type": "video", "duration": "soon"}},
    {"model": VIDEO, "input": "x", "response_format": {"type": "video", "resolution": "9k"}},
    {"model": VIDEO, "input": "x", "generation_config": {"video_config": {"task": "upscale"}}},
    {"model": VIDEO, "input": "x", "generation_config": {"video_config": {"task": "image_to_video"}}},
    {"model": VIDEO, "input": "x", "generation_config": {"video_config": {"task": "extend"}}},
]


@pytest.mark.parametrize("body", BAD, ids=lambda value: str(value)[:70])
async def test_a_bad_interaction_is_a_bad_request(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await client.post(PATH, json={"model": IMAGE, **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "interaction_id",
    [
        "x",
        "v1_",
        "v1_%%",
        "v1_W10",
        "v1_" + "A" * 3000,
        InteractionReference(IMAGE).interaction_id,
        InteractionReference(IMAGE, video_id="a", media_id="b").interaction_id,
        InteractionReference(IMAGE, media_id="../secret").interaction_id,
        InteractionReference(IMAGE, media_id="nobodys").interaction_id,
        InteractionReference(VIDEO, video_id="video_9").interaction_id,
        InteractionReference(VIDEO, media_id="pic0", image_format="bmp").interaction_id,
    ],
    ids=lambda value: value[:20],
)
async def test_an_id_that_leads_nowhere_is_not_found(client: httpx.AsyncClient, interaction_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        answer = await client.request(method, f"{PATH}/{interaction_id}{path}", headers={"x-goog-api-key": API_KEY})
        expected = {404} if method != "POST" else {404, 400}
        assert answer.status_code in expected
        assert answer.json()["error"]["code"] in ("not_found", "failed_precondition")


async def test_wrong_keys_and_unknown_models_have_words(client: httpx.AsyncClient) -> None:
    wrong = await client.post(PATH, json={}, headers={"x-goog-api-key": "sk-wrong"})
    missing = await client.post(PATH, json={}, headers={"authorization": ""})
    unknown = await client.post(PATH, json={"model": "nope", "input": "x"})
    told = [(answer.status_code, answer.json()["error"]["code"]) for answer in (wrong, missing, unknown)]
    assert told == [(401, "authentication"), (403, "permission_denied"), (404, "model_not_found")]
