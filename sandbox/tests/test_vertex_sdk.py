"""The official google-genai SDK in its Vertex mode against the sandbox: a service account, no API key."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator

import av
import pytest
from google import genai
from google.auth.exceptions import RefreshError
from google.auth.transport.requests import Request
from google.genai import errors, types
from google.oauth2 import service_account
from PIL import Image

from flow2api_sandbox.server import RunningSandbox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
MODEL = "gemini-3.1-flash-image"
VEO = "veo-3.1-fast-generate-001"
OMNI = "gemini-omni-1.1-flash"
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def vertex_client(sandbox: RunningSandbox, *, number: int = 1, location: str = "us-central1") -> genai.Client:
    key = sandbox.service_account_key(number)
    return genai.Client(
        vertexai=True,
        project=f"sandbox-project-{number}",
        location=location,
        credentials=service_account.Credentials.from_service_account_info(key, scopes=SCOPES),
        http_options={"base_url": sandbox.vertex_url},
    )


@pytest.fixture
async def client(sandbox: RunningSandbox) -> AsyncIterator[genai.Client]:
    made = vertex_client(sandbox)
    # For interactions the SDK refreshes on the event loop, in which the sandbox runs too.
    await asyncio.to_thread(made._api_client._credentials.refresh, Request())
    try:
        yield made
    finally:
        await made.aio.aclose()
        made.close()


def picture(response: types.GenerateContentResponse) -> Image.Image:
    blobs = [part.inline_data for part in response.candidates[0].content.parts if part.inline_data]
    return Image.open(io.BytesIO(blobs[-1].data))


async def finished(client: genai.Client, operation: types.GenerateVideosOperation) -> types.GenerateVideosOperation:
    async with asyncio.timeout(10):
        while not operation.done:
            operation = await client.aio.operations.get(operation)
    return operation


def shape_of(content: bytes) -> tuple[int, int, int]:
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, round(container.duration / av.time_base)


async def stored(sandbox: RunningSandbox, client: genai.Client, http, gcs_uri: str) -> bytes:
    """Read an object as any client of Cloud Storage does, with the SDK's own bearer."""
    bucket, _, name = gcs_uri.removeprefix("gs://").partition("/")
    url = f"{sandbox.storage_url}/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}?alt=media"
    answer = await http.get(url, headers={"authorization": f"Bearer {client._api_client._credentials.token}"})
    assert answer.status_code == 200, answer.text
    return answer.content


class TestPictures:
    async def test_picture_in_the_wanted_size_and_encoding(self, client):
        config = types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            image_config=types.ImageConfig(
                aspect_ratio="16:9", image_size="2K", person_generation="ALLOW_ADULT", output_mime_type="image/jpeg"
            ),
            labels={"team": "a"},
        )
        answer = await client.aio.models.generate_content(model=MODEL, contents="a kite", config=config)
        assert (picture(answer).size, picture(answer).format) == ((2752, 1536), "JPEG")
        assert answer.usage_metadata.traffic_type == types.TrafficType.ON_DEMAND
        assert answer.create_time is not None

    async def test_stream_of_words_and_a_picture(self, client):
        chunks = [
            chunk async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents="a kite")
        ]
        assert chunks[0].text == "Here you are."
        assert picture(chunks[-1]).format == "PNG"

    async def test_edit_of_a_picture_inside_the_request(self, client, png):
        contents = ["make it blue", types.Part.from_bytes(data=png, mime_type="image/png")]
        answer = await client.aio.models.generate_content(model=MODEL, contents=contents)
        assert picture(answer).size == (1376, 768)

    async def test_edit_of_a_picture_in_a_bucket(self, sandbox, client, http, png):
        bearer = {"authorization": f"Bearer {client._api_client._credentials.token}", "content-type": "image/png"}
        url = f"{sandbox.storage_url}/upload/storage/v1/b/sandbox-bucket-1/o?uploadType=media&name=in/ref.png"
        assert (await http.post(url, content=png, headers=bearer)).status_code == 200
        part = types.Part.from_uri(file_uri="gs://sandbox-bucket-1/in/ref.png", mime_type="image/png")
        answer = await client.aio.models.generate_content(model=MODEL, contents=["make it blue", part])
        assert picture(answer).size == (1376, 768)

    async def test_blocked_prompt(self, client):
        answer = await client.aio.models.generate_content(model=MODEL, contents="x [[fault:content]]")
        assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT

    async def test_express_key_needs_no_project(self, sandbox):
        client = genai.Client(vertexai=True, api_key="sandbox-express-1", http_options={"base_url": sandbox.vertex_url})
        answer = await client.aio.models.generate_content(model=MODEL, contents="a kite")
        assert picture(answer).size == (1024, 1024)
        await client.aio.aclose()
        client.close()


class TestVideos:
    async def test_clip_in_the_answer(self, client):
        config = types.GenerateVideosConfig(
            duration_seconds=4,
            aspect_ratio="9:16",
            generate_audio=True,
            seed=3,
            negative_prompt="blur",
            number_of_videos=2,
        )
        operation = await client.aio.models.generate_videos(model=VEO, prompt="waves", config=config)
        videos = (await finished(client, operation)).response.generated_videos
        assert [shape_of(each.video.video_bytes) for each in videos] == [(720, 1280, 4)] * 2

    async def test_clip_in_a_bucket_and_its_extension(self, sandbox, client, http):
        config = types.GenerateVideosConfig(output_gcs_uri="gs://sandbox-bucket-1/out/")
        operation = await client.aio.models.generate_videos(model=VEO, prompt="waves", config=config)
        first = (await finished(client, operation)).response.generated_videos[0].video
        assert first.uri.startswith("gs://sandbox-bucket-1/out/")
        assert first.uri.endswith("/sample_0.mp4")
        assert shape_of(await stored(sandbox, client, http, first.uri)) == (1280, 720, 8)
        source = types.GenerateVideosSource(prompt="on", video=types.Video(uri=first.uri, mime_type="video/mp4"))
        operation = await client.aio.models.generate_videos(model=VEO, source=source, config=config)
        longer = (await finished(client, operation)).response.generated_videos[0].video
        assert shape_of(await stored(sandbox, client, http, longer.uri)) == (1280, 720, 15)

    async def test_clip_between_two_frames(self, client, png):
        frame = types.Image(image_bytes=png, mime_type="image/png")
        config = types.GenerateVideosConfig(last_frame=frame, duration_seconds=6)
        operation = await client.aio.models.generate_videos(model=VEO, prompt="it moves", image=frame, config=config)
        videos = (await finished(client, operation)).response.generated_videos
        assert shape_of(videos[0].video.video_bytes) == (1280, 720, 6)

    async def test_clip_with_references(self, client, png):
        image = types.Image(image_bytes=png, mime_type="image/png")
        reference = types.VideoGenerationReferenceImage(image=image, reference_type="ASSET")
        config = types.GenerateVideosConfig(reference_images=[reference] * 3)
        operation = await client.aio.models.generate_videos(model=VEO, prompt="all of them", config=config)
        assert (await finished(client, operation)).response.generated_videos

    async def test_filtered_clips_are_counted_and_explained(self, client):
        config = types.GenerateVideosConfig(number_of_videos=3, duration_seconds=4)
        prompt = "x [[fault:filtered samples=2 reason=15236754]]"
        operation = await client.aio.models.generate_videos(model=VEO, prompt=prompt, config=config)
        response = (await finished(client, operation)).response
        assert response.rai_media_filtered_count == 2
        assert "15236754" in response.rai_media_filtered_reasons[0]
        assert len(response.generated_videos) == 1

    async def test_failed_operation(self, client):
        operation = await client.aio.models.generate_videos(model=VEO, prompt="x [[fault:error_status]]")
        operation = await finished(client, operation)
        assert operation.error["code"] == 13
        assert operation.response is None

    async def test_clip_of_omni_in_the_background_in_a_bucket(self, sandbox, client, http):
        interaction = await client.aio.interactions.create(
            model=OMNI,
            input="The boat leaves the harbour",
            response_format={
                "type": "video",
                "duration": "3s",
                "delivery": "uri",
                "gcs_uri": "gs://sandbox-bucket-1/omni/",
            },
            background=True,
        )
        async with asyncio.timeout(10):
            while interaction.status == "in_progress":
                interaction = await client.aio.interactions.get(interaction.id)
        content = await stored(sandbox, client, http, interaction.steps[-1].content[0].uri)
        assert shape_of(content) == (1280, 720, 3)

    async def test_clip_of_omni_in_the_answer(self, client):
        interaction = await client.aio.interactions.create(
            model=OMNI, input="waves", response_format={"type": "video", "duration": "3s", "resolution": "360p"}
        )
        assert shape_of(base64.b64decode(interaction.steps[-1].content[0].data)) == (640, 360, 3)


class TestModels:
    async def test_list_and_one(self, client):
        names = [model.name async for model in await client.aio.models.list()]
        assert f"publishers/google/models/{VEO}" in names
        assert (await client.aio.models.get(model=VEO)).name == f"publishers/google/models/{VEO}"

    async def test_chat_goes_on_with_the_model_s_parts(self, client):
        chat = client.aio.chats.create(model="gemini-3-pro-image")
        first, second = await chat.send_message("a kite"), await chat.send_message("now red")
        assert picture(first).tobytes() != picture(second).tobytes()


class TestErrors:
    async def test_region_without_the_model(self, sandbox, client, http):
        rule = {"model": "gemini-*", "location": "us-central1", "is_served": False}
        await http.post(f"{sandbox.control_url}/availability", json=rule)
        with pytest.raises(errors.ClientError) as refusal:
            await client.aio.models.generate_content(model=MODEL, contents="a kite")
        assert (refusal.value.code, refusal.value.status) == (404, "NOT_FOUND")

    async def test_foreign_project_is_forbidden(self, sandbox):
        key = sandbox.service_account_key(1)
        client = genai.Client(
            vertexai=True,
            project="sandbox-project-2",
            location="global",
            credentials=service_account.Credentials.from_service_account_info(key, scopes=SCOPES),
            http_options={"base_url": sandbox.vertex_url},
        )
        with pytest.raises(errors.ClientError) as refusal:
            await client.aio.models.generate_content(model=MODEL, contents="a kite")
        assert refusal.value.details["error"]["details"][0]["reason"] == "IAM_PERMISSION_DENIED"
        await client.aio.aclose()
        client.close()

    async def test_bad_argument_of_a_clip_names_it(self, client):
        config = types.GenerateVideosConfig(resolution="1080p", duration_seconds=4)
        with pytest.raises(errors.ClientError, match="durationSeconds must be 8") as refusal:
            await client.aio.models.generate_videos(model=VEO, prompt="waves", config=config)
        assert refusal.value.status == "INVALID_ARGUMENT"

    async def test_used_up_quota_has_its_details(self, sandbox, client, http):
        await http.post(f"{sandbox.control_url}/quotas", json={"model": VEO, "per_day": 0})
        with pytest.raises(errors.ClientError) as refusal:
            await client.aio.models.generate_videos(model=VEO, prompt="waves")
        violation = refusal.value.details["error"]["details"][0]["violations"][0]
        assert (refusal.value.status, violation["quotaValue"]) == ("RESOURCE_EXHAUSTED", "0")

    async def test_error_in_the_middle_of_a_stream(self, client):
        stream = await client.aio.models.generate_content_stream(model=MODEL, contents="x [[fault:stream_error]]")
        with pytest.raises(errors.APIError) as failure:
            [chunk async for chunk in stream]
        assert failure.value.code == 503

    async def test_overload_is_a_server_error(self, client):
        with pytest.raises(errors.ServerError) as failure:
            await client.aio.models.generate_content(model=MODEL, contents="x [[fault:503]]")
        assert failure.value.status == "UNAVAILABLE"

    async def test_revoked_key_is_refused_by_the_token_endpoint(self, sandbox):
        credentials = service_account.Credentials.from_service_account_info(
            sandbox.service_account_key(3), scopes=SCOPES
        )
        account = sandbox.world.identity.service_accounts[credentials.service_account_email]
        account.keys.clear()
        with pytest.raises(RefreshError, match="Invalid JWT Signature"):
            await asyncio.to_thread(credentials.refresh, Request())
