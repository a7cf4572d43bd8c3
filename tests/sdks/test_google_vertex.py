"""What applications do with Google's own SDK in its Vertex mode: one program, against the gateway and the upstream.

The upstream is the sandbox, with a service account whose token endpoint is the sandbox's; at the gateway the access
token is an API key of ours. Nothing else of the program differs.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from google import genai
from google.auth.credentials import Credentials
from google.auth.transport.requests import Request
from google.genai import errors, types
from google.oauth2 import credentials as oauth2_credentials
from google.oauth2 import service_account
from PIL import Image

from flow2api_cli.media_facts import clip_facts
from flow2api_testing.systems import API_KEY, System

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]

MODEL = "gemini-3.1-flash-image"
VEO = "veo-3.1-fast-generate-001"
OMNI = "gemini-omni-1.1-flash"
PROJECT = "sandbox-project-1"
ACCOUNT = f"sandbox-sa-1@{PROJECT}.iam.gserviceaccount.com"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
PATIENCE_SECONDS = 120.0


@pytest.fixture(params=["gateway", "upstream"])
def google(system: System, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    base_url, credentials = system.base_url, bearer(API_KEY)
    if request.param == "upstream":
        base_url, credentials = system.sandbox.settings()["FLOW2API_VERTEX_URL"], account(system)
    with opened(base_url, credentials) as client:
        yield client


def opened(base_url: str, credentials: Credentials) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project=PROJECT,
        location="us-central1",
        credentials=credentials,
        http_options={"base_url": base_url},
    )


def bearer(token: str) -> Credentials:
    """Credentials that are what they are: nothing is exchanged for them."""
    made: Credentials = oauth2_credentials.Credentials(token=token)  # type: ignore[no-untyped-call]
    return made


def account(system: System) -> Credentials:
    """A new key of a service account of the sandbox, exchanged at the sandbox."""
    url = f"{system.sandbox.urls['control_url']}/service-accounts/{ACCOUNT}/keys"
    key = httpx.post(url, json={}, trust_env=False).raise_for_status().json()
    made: Credentials = service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
        key, scopes=SCOPES
    )
    made.refresh(Request())  # type: ignore[no-untyped-call]
    return made


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


def finished(google: genai.Client, operation: types.GenerateVideosOperation) -> types.GenerateVideosOperation:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not operation.done and time.monotonic() < deadline:
        time.sleep(0.2)
        operation = google.operations.get(operation)
    return operation


def test_models_are_listed_and_read(google: genai.Client) -> None:
    names = [model.name for model in google.models.list(config={"page_size": 5})]
    assert {f"publishers/google/models/{MODEL}", f"publishers/google/models/{VEO}"} <= set(names)
    assert google.models.get(model=VEO).name == f"publishers/google/models/{VEO}"


def test_a_picture_has_the_wanted_form(google: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K", output_mime_type="image/jpeg"),
        labels={"team": "a"},
    )
    answer = google.models.generate_content(model=MODEL, contents="a kite", config=config)
    assert (picture(answer).size, picture(answer).format) == ((2752, 1536), "JPEG")
    assert answer.create_time is not None


def test_a_stream_ends_with_the_picture(google: genai.Client) -> None:
    chunks = list(google.models.generate_content_stream(model=MODEL, contents="a kite"))
    assert picture(chunks[-1]).format
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_a_picture_is_edited_in_its_ratio_and_then_in_a_conversation(google: genai.Client) -> None:
    chat = google.chats.create(model=MODEL)
    first = picture(
        chat.send_message(["make it blue", types.Part.from_bytes(data=png(160, 90), mime_type="image/png")])
    )
    second = picture(chat.send_message("now red"))
    assert first.size == (1376, 768)
    assert second.tobytes() != first.tobytes()


def test_a_clip_comes_inside_its_operation(google: genai.Client) -> None:
    config = types.GenerateVideosConfig(duration_seconds=8, aspect_ratio="9:16", number_of_videos=1)
    operation = google.models.generate_videos(model=VEO, prompt="waves", config=config)
    assert operation.name is not None
    assert operation.name.startswith(
        f"projects/{PROJECT}/locations/us-central1/publishers/google/models/{VEO}/operations/"
    )
    operation = finished(google, operation)
    assert operation.response is not None, operation.error
    assert operation.response.generated_videos
    video = operation.response.generated_videos[0].video
    assert video is not None
    assert video.video_bytes is not None
    facts = clip_facts(video.video_bytes)
    assert facts.height > facts.width


def test_a_clip_of_omni_comes_inside_its_interaction(google: genai.Client) -> None:
    interaction: Any = google.interactions.create(
        model=OMNI,
        input="The boat leaves the harbour",
        response_format={"type": "video", "duration": "3s", "resolution": "720p"},
    )
    assert interaction.status == "completed"
    assert clip_facts(base64.b64decode(interaction.steps[-1].content[0].data)).width == 1280


def test_refused_content_is_a_blocked_prompt(google: genai.Client) -> None:
    answer = google.models.generate_content(model=MODEL, contents="x [[fault:content]]")
    assert not answer.candidates
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason is not None


def test_what_is_wrong_is_told_in_the_same_words(google: genai.Client) -> None:
    config = types.GenerateContentConfig(image_config=types.ImageConfig(aspect_ratio="7:1"))
    with pytest.raises(errors.ClientError) as bad_ratio:
        google.models.generate_content(model=MODEL, contents="a kite", config=config)
    with pytest.raises(errors.ClientError) as bad_model:
        google.models.generate_content(model="no-such-model", contents="a kite")
    with pytest.raises(errors.ClientError) as bad_length:
        google.models.generate_videos(model=VEO, prompt="x", config={"duration_seconds": 5})
    refusals = [(each.value.code, each.value.status) for each in (bad_ratio, bad_model, bad_length)]
    assert refusals == [(400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (400, "INVALID_ARGUMENT")]


@pytest.mark.parametrize("place", ["gateway", "upstream"])
def test_a_wrong_token_is_not_authenticated(system: System, place: str) -> None:
    base_url = system.base_url if place == "gateway" else system.sandbox.settings()["FLOW2API_VERTEX_URL"]
    with opened(base_url, bearer("nobody")) as stranger, pytest.raises(errors.ClientError) as refusal:
        stranger.models.generate_content(model=MODEL, contents="a kite")
    assert (refusal.value.code, refusal.value.status) == (401, "UNAUTHENTICATED")
    assert refusal.value.details["error"]["details"][0]["reason"] == "ACCESS_TOKEN_TYPE_UNSUPPORTED"


@pytest.mark.parametrize("place", ["gateway", "upstream"])
def test_an_express_key_needs_no_project(system: System, place: str) -> None:
    base_url, key = system.base_url, API_KEY
    if place == "upstream":
        base_url, key = system.sandbox.settings()["FLOW2API_VERTEX_URL"], "sandbox-express-1"
    with genai.Client(vertexai=True, api_key=key, http_options={"base_url": base_url}) as google:
        answer = google.models.generate_content(model=MODEL, contents="a kite")
    wide, high = picture(answer).size
    assert wide == high
