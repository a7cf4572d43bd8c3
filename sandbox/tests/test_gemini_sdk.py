"""The official google-genai SDK against the sandbox."""

import asyncio
import base64
import io

import av
import pytest
from google import genai
from google.genai import errors, types
from PIL import Image

from flow2api_sandbox.server import RunningSandbox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
MODEL = "gemini-3.1-flash-image"
OMNI = "gemini-omni-1.1-flash"


@pytest.fixture
async def client(sandbox: RunningSandbox):
    made = genai.Client(api_key="sandbox-key-1", http_options={"base_url": sandbox.gemini_url})
    try:
        yield made
    finally:
        await made.aio.aclose()
        made.close()


def picture(response: types.GenerateContentResponse) -> Image.Image:
    blobs = [part.inline_data for part in response.candidates[0].content.parts if part.inline_data]
    return Image.open(io.BytesIO(blobs[-1].data))


async def test_sdk_makes_a_picture_of_the_wanted_size(client):
    config = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K")
    )
    answer = await client.aio.models.generate_content(model=MODEL, contents="a kite", config=config)
    assert picture(answer).size == (2752, 1536)
    assert answer.text is None
    assert answer.usage_metadata.candidates_token_count == 1120


async def test_sdk_streams_words_and_then_a_picture(client):
    chunks = [chunk async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents="a kite")]
    assert chunks[0].text == "Here you are."
    assert picture(chunks[-1]).format == "PNG"
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_sdk_edits_an_uploaded_picture_in_its_ratio(client, png):
    file = await client.aio.files.upload(file=io.BytesIO(png), config={"mime_type": "image/png"})
    assert file.state == types.FileState.ACTIVE
    contents = ["make it blue", types.Part.from_uri(file_uri=file.uri, mime_type="image/png")]
    answer = await client.aio.models.generate_content(model=MODEL, contents=contents)
    assert picture(answer).size == (1376, 768)


async def test_sdk_continues_a_conversation_with_the_model_s_parts(client):
    chat = client.aio.chats.create(model=MODEL)
    first = await chat.send_message("a kite")
    second = await chat.send_message("now red")
    assert picture(first).tobytes() != picture(second).tobytes()


async def test_sdk_lists_and_deletes_files(client, png):
    file = await client.aio.files.upload(file=io.BytesIO(png), config={"mime_type": "image/png"})
    assert [each.name async for each in await client.aio.files.list()] == [file.name]
    await client.aio.files.delete(name=file.name)
    with pytest.raises(errors.ClientError) as refusal:
        await client.aio.files.get(name=file.name)
    assert refusal.value.code == 403


async def test_sdk_lists_models_and_gets_one(client):
    names = [model.name async for model in await client.aio.models.list()]
    assert f"models/{MODEL}" in names
    assert (await client.aio.models.get(model=MODEL)).display_name == "Nano Banana 2"


async def test_sdk_makes_a_video_in_the_background(client):
    interaction = await client.aio.interactions.create(
        model=OMNI,
        input="The boat leaves the harbour",
        response_format={"type": "video", "aspect_ratio": "9:16", "duration": "4s", "delivery": "uri"},
        background=True,
    )
    async with asyncio.timeout(10):
        while interaction.status == "in_progress":
            interaction = await client.aio.interactions.get(interaction.id)
    assert interaction.status == "completed"
    uri = interaction.steps[-1].content[0].uri
    content = await client.aio.files.download(file="files/" + uri.split("/files/")[1].split(":")[0])
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (720, 1280)
        assert container.duration / av.time_base == pytest.approx(4, abs=0.2)


async def test_sdk_gets_an_inline_video_from_pictures(client, png):
    part = {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png).decode()}
    interaction = await client.aio.interactions.create(
        model=OMNI,
        input=[{"type": "text", "text": "it moves"}, part],
        response_format={"type": "video", "duration": "3s", "resolution": "360p"},
        generation_config={"video_config": {"task": "image_to_video"}},
    )
    assert interaction.status == "completed"
    content = base64.b64decode(interaction.steps[-1].content[0].data)
    with av.open(io.BytesIO(content)) as container:
        assert container.streams.video[0].width == 640


async def test_sdk_streams_an_interaction(client):
    events = [
        event.event_type
        async for event in await client.aio.interactions.create(model=MODEL, input="a kite", stream=True)
    ]
    assert events[0] == "interaction.created"
    assert "step.delta" in events
    assert events[-1] == "interaction.completed"


async def test_sdk_cancels_and_deletes_an_interaction(start_sandbox):
    sandbox = await start_sandbox(time_scale=1)
    client = genai.Client(api_key="sandbox-key-1", http_options={"base_url": sandbox.gemini_url})
    interaction = await client.aio.interactions.create(model=OMNI, input="waves", background=True)
    assert interaction.status == "in_progress"
    assert (await client.aio.interactions.cancel(interaction.id)).status == "cancelled"
    await client.aio.interactions.delete(interaction.id)
    with pytest.raises(Exception, match="not found"):
        await client.aio.interactions.get(interaction.id)
    await client.aio.aclose()
    client.close()


async def test_sdk_sees_a_bad_key_as_a_bad_argument(sandbox):
    client = genai.Client(api_key="nobody", http_options={"base_url": sandbox.gemini_url})
    with pytest.raises(errors.ClientError) as refusal:
        await client.aio.models.generate_content(model=MODEL, contents="a kite")
    assert refusal.value.code == 400
    assert refusal.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    await client.aio.aclose()
    client.close()


async def test_sdk_sees_a_retired_model_as_not_found(client):
    with pytest.raises(errors.ClientError) as refusal:
        await client.aio.models.generate_content(model="gemini-3-pro-image-preview", contents="a kite")
    assert refusal.value.code == 404


async def test_sdk_sees_a_blocked_prompt(client):
    answer = await client.aio.models.generate_content(model=MODEL, contents="x [[fault:content reason=SAFETY]]")
    assert answer.candidates is None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.SAFETY


async def test_sdk_sees_quota_details(client):
    with pytest.raises(errors.ClientError) as refusal:
        await client.aio.models.generate_content(model=MODEL, contents="x [[fault:429 retry_after=22]]")
    details = refusal.value.details["error"]["details"]
    assert details[-1]["retryDelay"] == "22s"
    assert "PerMinute" in details[0]["violations"][0]["quotaId"]


async def test_sdk_follows_an_operation_of_veo(sandbox, client, http):
    model = "veo-3.1-fast-generate-preview"
    for location in ("*", "gemini-api"):
        rule = {"model": model, "location": location, "is_served": True}
        await http.post(f"{sandbox.control_url}/availability", json=rule)
    # The SDK of this version begins no clips here any more; it still follows those of others.
    body = {"instances": [{"prompt": "waves"}], "parameters": {"durationSeconds": 4}}
    url = f"{sandbox.gemini_url}/v1beta/models/{model}:predictLongRunning"
    name = (await http.post(url, json=body, headers={"x-goog-api-key": "sandbox-key-1"})).json()["name"]
    operation = await client.aio.operations.get(types.GenerateVideosOperation(name=name))
    uri = operation.response.generated_videos[0].video.uri
    # The SDK takes URIs of https alone for what they are.
    content = await client.aio.files.download(file="files/" + uri.split("/files/")[1].split(":")[0])
    with av.open(io.BytesIO(content)) as container:
        assert container.duration / av.time_base == pytest.approx(4, abs=0.2)


async def test_stream_without_events_refuses_with_an_array(sandbox, http):
    url = f"{sandbox.gemini_url}/v1beta/models/{MODEL}:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": "x [[fault:503]]"}]}]}
    answer = await http.post(url, json=body, headers={"x-goog-api-key": "sandbox-key-1"})
    assert [each["error"]["status"] for each in answer.json()] == ["UNAVAILABLE"]


async def test_picture_of_the_model_needs_its_signature(sandbox, http, png):
    url = f"{sandbox.gemini_url}/v1beta/models/{MODEL}:generateContent"
    part = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png).decode()}}
    turns = [{"role": "model", "parts": [part]}, {"role": "user", "parts": [{"text": "now red"}]}]
    answer = await http.post(url, json={"contents": turns}, headers={"x-goog-api-key": "sandbox-key-1"})
    assert "thought_signature in content position 0" in answer.json()["error"]["message"]


async def test_stream_of_an_interaction_is_taken_up_again(sandbox, client, http):
    made = await client.aio.interactions.create(model=MODEL, input="a kite")
    url = f"{sandbox.gemini_url}/v1beta/interactions/{made.id}?stream=true&last_event_id=1"
    lines = (await http.get(url, headers={"x-goog-api-key": "sandbox-key-1"})).text.split("\r\n")
    events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("step.start", "interaction.completed")


async def test_server_s_patience_ends_first(start_sandbox, http):
    sandbox = await start_sandbox(time_scale=0.001, image_latency=60)
    url = f"{sandbox.gemini_url}/v1beta/models/{MODEL}:generateContent"
    body = {"contents": [{"parts": [{"text": "a kite"}]}]}
    headers = {"x-goog-api-key": "sandbox-key-1"}
    impatient = await http.post(url, json=body, headers={**headers, "x-server-timeout": "0.01"})
    assert impatient.json()["error"]["status"] == "DEADLINE_EXCEEDED"
    assert sandbox.world.bill.as_json()["total_micros"] == 0
    assert (await http.post(url, json=body, headers={**headers, "x-server-timeout": "30"})).status_code == 200


async def test_interaction_shows_its_input_again_and_ends_with_its_days(start_sandbox, clock, http, png):
    sandbox = await start_sandbox(clock=clock)
    headers = {"x-goog-api-key": "sandbox-key-1"}
    content = [
        {"type": "text", "text": "make it blue"},
        {"type": "image", "mime_type": "image/png", "data": base64.b64encode(png).decode()},
    ]
    url = f"{sandbox.gemini_url}/v1beta/interactions"
    made = (await http.post(url, json={"model": MODEL, "input": content}, headers=headers)).json()
    shown = (await http.get(f"{url}/{made['id']}?include_input=true", headers=headers)).json()
    assert shown["steps"][0] == {"type": "user_input", "content": content}
    clock.advance(55 * 86_400)
    assert (await http.get(f"{url}/{made['id']}", headers=headers)).status_code == 404
