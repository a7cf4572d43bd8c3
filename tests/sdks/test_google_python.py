"""What applications do with Google's own SDK: one program, against the gateway in both modes and the upstream itself.

The upstream is the sandbox, whose answers have the forms of docs/upstream/google-official.md. A program that does the
same against both needs no change but its base URL and its key.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from flow2api_cli.media_facts import clip_facts
from flow2api_testing.systems import API_KEY, System

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]

MODEL = "gemini-3.1-flash-image"
OMNI = "gemini-omni-1.1-flash"
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Door:
    """Where the program goes in: a base URL and a key that is good there."""

    base_url: str
    api_key: str

    def open(self, **changes: Any) -> genai.Client:
        return genai.Client(**{"api_key": self.api_key, "http_options": {"base_url": self.base_url}, **changes})


@pytest.fixture(params=["gateway", "upstream"])
def door(system: System, request: pytest.FixtureRequest) -> Door:
    if request.param == "gateway":
        return Door(system.base_url, API_KEY)
    return Door(system.sandbox.settings()["FLOW2API_GEMINI_URL"], "sandbox-key-1")


@pytest.fixture
def google(door: Door) -> Iterator[genai.Client]:
    with door.open() as client:
        yield client


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "navy").save(buffer, "PNG")
    return buffer.getvalue()


def picture(answer: types.GenerateContentResponse) -> Image.Image:
    assert answer.candidates
    content = answer.candidates[0].content
    assert content is not None
    blobs = [part.inline_data.data for part in content.parts or [] if part.inline_data and part.inline_data.data]
    return Image.open(io.BytesIO(blobs[-1]))


def test_models_are_listed_and_read(google: genai.Client) -> None:
    names = [model.name for model in google.models.list(config={"page_size": 5})]
    assert {f"models/{MODEL}", f"models/{OMNI}"} <= set(names)
    assert len(names) == len(set(names))
    model = google.models.get(model=MODEL)
    assert model.name == f"models/{MODEL}"
    assert "generateContent" in (model.supported_actions or [])


def test_a_picture_has_the_wanted_form(google: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K")
    )
    answer = google.models.generate_content(model=MODEL, contents="a kite", config=config)
    assert picture(answer).size == (2752, 1536)
    assert answer.text is None
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP


def test_without_a_wish_a_picture_is_square(google: genai.Client) -> None:
    wide, high = picture(google.models.generate_content(model=MODEL, contents="a kite")).size
    assert wide == high


def test_a_stream_ends_with_the_picture(google: genai.Client) -> None:
    chunks = list(google.models.generate_content_stream(model=MODEL, contents="a kite"))
    assert picture(chunks[-1]).format
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_an_uploaded_picture_is_edited_in_its_ratio_and_deleted(google: genai.Client) -> None:
    file = google.files.upload(file=io.BytesIO(png(160, 90)), config={"mime_type": "image/png"})
    assert file.state == types.FileState.ACTIVE
    assert file.name in [each.name for each in google.files.list()]
    answer = google.models.generate_content(model=MODEL, contents=["make it blue", file])
    assert picture(answer).size == (1376, 768)
    assert file.name is not None
    google.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as refusal:
        google.files.get(name=file.name)
    assert refusal.value.code == 403


def test_a_conversation_edits_its_picture(google: genai.Client) -> None:
    chat = google.chats.create(model=MODEL)
    first = picture(chat.send_message("a kite"))
    second = picture(chat.send_message("now red"))
    assert first.size == second.size
    assert first.tobytes() != second.tobytes()


def test_a_clip_is_made_in_the_background(google: genai.Client) -> None:
    interaction: Any = google.interactions.create(
        model=OMNI,
        input="The boat leaves the harbour",
        response_format={"type": "video", "aspect_ratio": "9:16", "duration": "4s", "delivery": "uri"},
        background=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while interaction.status == "in_progress" and time.monotonic() < deadline:
        time.sleep(0.2)
        interaction = google.interactions.get(interaction.id)
    assert interaction.status == "completed"
    uri = interaction.steps[-1].content[0].uri
    facts = clip_facts(google.files.download(file="files/" + uri.split("/files/")[1].split(":")[0]))
    assert (facts.width, facts.height) == (720, 1280)


def test_a_clip_from_a_picture_comes_inside_the_answer(google: genai.Client) -> None:
    part: Any = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png(160, 90)).decode()}
    interaction: Any = google.interactions.create(
        model=OMNI,
        input=[{"type": "text", "text": "it moves"}, part],
        response_format={"type": "video", "duration": "3s", "resolution": "720p"},
        generation_config={"video_config": {"task": "image_to_video"}},
    )
    assert interaction.status == "completed"
    assert clip_facts(base64.b64decode(interaction.steps[-1].content[0].data)).width == 1280


def test_an_interaction_is_streamed(google: genai.Client) -> None:
    stream: Any = google.interactions.create(model=MODEL, input="a kite", stream=True)
    kinds = [event.event_type for event in stream]
    assert kinds[0] == "interaction.created"
    assert "step.delta" in kinds
    assert kinds[-1] == "interaction.completed"


def test_a_bad_key_is_a_bad_argument(door: Door) -> None:
    with door.open(api_key="nobody") as stranger, pytest.raises(errors.ClientError) as refusal:
        stranger.models.generate_content(model=MODEL, contents="a kite")
    assert refusal.value.code == 400
    assert refusal.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


def test_an_unknown_model_is_not_found(google: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as refusal:
        google.models.generate_content(model="no-such-model", contents="a kite")
    assert (refusal.value.code, refusal.value.status) == (404, "NOT_FOUND")


def test_a_wrong_value_is_a_bad_argument(google: genai.Client) -> None:
    config = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="7:1"))
    with pytest.raises(errors.ClientError) as refusal:
        google.models.generate_content(model=MODEL, contents="a kite", config=config)
    assert (refusal.value.code, refusal.value.status) == (400, "INVALID_ARGUMENT")


def test_refused_content_is_a_blocked_prompt(google: genai.Client) -> None:
    answer = google.models.generate_content(model=MODEL, contents="x [[fault:content]]")
    assert not answer.candidates
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason is not None


def test_a_veo_clip_is_an_operation_that_ends_in_a_file(system: System) -> None:
    """The upstream has retired this call; the gateway serves the programs that still send it."""
    url = f"{system.base_url}/v1beta/models/veo-3.1-fast-generate-001:predictLongRunning"
    body = {"instances": [{"prompt": "waves"}], "parameters": {"durationSeconds": 8, "aspectRatio": "16:9"}}
    begun = httpx.post(url, json=body, headers={"x-goog-api-key": API_KEY}, timeout=60, trust_env=False)
    operation = types.GenerateVideosOperation(name=begun.raise_for_status().json()["name"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Door(system.base_url, API_KEY).open() as google:
        while not operation.done and time.monotonic() < deadline:
            time.sleep(0.2)
            operation = google.operations.get(operation)
        assert operation.response is not None, operation.error
        assert operation.response.generated_videos
        video = operation.response.generated_videos[0].video
        assert video is not None
        facts = clip_facts(google.files.download(file=video))
    assert facts.width > facts.height
