"""The official SDK over a real socket."""

from __future__ import annotations

import asyncio
import base64
import io
import warnings
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from flow2api_common.errors import CapacityError, UpstreamRejected, UpstreamUnavailable
from flow2api_proto.generation.v1 import image_pb2, video_pb2
from flow2api_testing.waiting import eventually

IMAGE_MODEL = "gemini-3.1-flash-image"
VIDEO_MODEL = "veo-3.1-fast"
CLIP_USAGE = image_pb2.Usage(
    input_tokens=270, input_text_tokens=12, input_image_tokens=258, output_tokens=46_336, thought_tokens=3
)
ASK: list[Any] = [{"role": "user", "content": "a red cat"}]


@pytest.fixture(autouse=True)
def _videos_are_deprecated_in_the_sdk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


async def test_models_are_listed_and_read_with_slashes_in_their_id(sdk: openai.AsyncOpenAI) -> None:
    ids = [model.id async for model in sdk.models.list()]
    model = await sdk.models.retrieve("text-only/image")
    assert ids == [IMAGE_MODEL, "text-only/image", VIDEO_MODEL]
    assert (model.id, model.object, model.owned_by) == ("text-only/image", "model", "flow2api")


async def test_an_unknown_model_is_the_sdks_not_found(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await sdk.models.retrieve("nope")
    assert caught.value.code == "model_not_found"
    assert caught.value.request_id


async def test_chat_answers_a_picture_that_opens_without_a_key(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK)
    content = answer.choices[0].message.content
    assert content is not None
    assert content.startswith("![Generated Image](http://127.0.0.1:")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (12, 1132)
    async with httpx.AsyncClient() as stranger:
        opened = await stranger.get(content[content.index("(") + 1 : -1])
    assert opened.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(opened.content)).size == (64, 36)


async def test_a_streamed_chat_begins_with_the_role_and_ends_with_usage(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model=IMAGE_MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant"
    progress = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert "generating 40 %" in progress
    assert "![Generated Image](" in "".join(delta.content or "" for delta in deltas)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 1132


async def test_without_include_usage_there_is_no_usage_chunk(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True)
    assert all(chunk.choices and chunk.usage is None for chunk in [chunk async for chunk in stream])


async def test_a_quiet_stream_is_kept_alive_and_parses(sdk: openai.AsyncOpenAI, world: Any, address: str) -> None:
    world.generation.image_gate = asyncio.Event()
    body = {"model": IMAGE_MODEL, "messages": ASK, "stream": True}
    beats = 0
    async with httpx.AsyncClient() as raw:
        headers = {"authorization": f"Bearer {sdk.api_key}"}
        async with raw.stream("POST", f"{address}/v1/chat/completions", json=body, headers=headers) as answer:
            lines = []
            async for line in answer.aiter_lines():
                lines.append(line)
                beats += line == ": keep-alive"
                if beats == 2:
                    world.generation.image_gate.set()
    assert beats >= 2
    assert lines[-2] == "data: [DONE]"


async def test_several_pictures_are_several_choices(sdk: openai.AsyncOpenAI) -> None:
    answer = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, n=2)
    contents = {choice.message.content for choice in answer.choices}
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert len(contents) == 2


async def test_a_client_that_leaves_cancels_the_generation(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    stream = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await asyncio.wait_for(world.generation.image_cancelled.wait(), 10)


async def test_a_client_that_leaves_before_the_answer_cancels_too(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.image_gate = asyncio.Event()
    asking = asyncio.create_task(sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK))
    await eventually(lambda: world.generation.image_requests)
    asking.cancel()
    await asyncio.wait_for(world.generation.image_cancelled.wait(), 10)


async def test_an_error_in_a_stream_that_has_begun_is_an_event(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.late_error = UpstreamUnavailable("The upstream broke.", paid=True)
    stream = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True)
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert (caught.value.code, caught.value.type) == ("upstream_error", "server_error")


async def test_an_error_before_the_stream_has_its_status(sdk: openai.AsyncOpenAI, world: Any, busy: Any) -> None:
    world.generation.early_error = busy
    with pytest.raises(openai.RateLimitError) as caught:
        await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True)
    assert caught.value.response.headers["retry-after"] == "6"


async def test_a_pool_that_cannot_serve_a_stream_is_told_by_the_status(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.queue_error = CapacityError("Nobody can.", reason="NO_ELIGIBLE_TOKEN")
    for asking in (
        sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True),
        sdk.images.generate(model=IMAGE_MODEL, prompt="x", stream=True),
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await asking
        assert (caught.value.status_code, caught.value.code) == (503, "no_account_available")
        assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_refusal_within_a_stream_is_a_content_filter(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("The content was refused.", reason="CONTENT_REJECTED")
    stream = await sdk.chat.completions.create(model=IMAGE_MODEL, messages=ASK, stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    assert choices[-2].delta.refusal == "The content was refused."
    assert choices[-1].finish_reason == "content_filter"


async def test_sdk_retries_what_was_not_paid_and_only_that(address: str, world: Any) -> None:
    async with openai.AsyncOpenAI(api_key="sk-good-key-0123456789", base_url=f"{address}/v1", max_retries=1) as sdk:
        for paid, requests in ((True, 1), (False, 2)):
            world.generation.image_requests.clear()
            world.generation.early_error = UpstreamUnavailable("It broke.", paid=paid)
            with pytest.raises(openai.InternalServerError):
                await sdk.images.generate(model=IMAGE_MODEL, prompt="x")
            assert len(world.generation.image_requests) == requests


async def test_images_as_base64_and_as_links(sdk: openai.AsyncOpenAI) -> None:
    encoded = await sdk.images.generate(model=IMAGE_MODEL, prompt="a cat", size="1024x1024", quality="high")
    assert encoded.data is not None
    assert Image.open(io.BytesIO(base64.b64decode(encoded.data[0].b64_json or ""))).size == (64, 36)
    assert (encoded.size, encoded.output_format) == ("64x36", "png")
    linked = await sdk.images.generate(model=IMAGE_MODEL, prompt="a cat", n=2, response_format="url")
    assert linked.data is not None
    assert len({picture.url for picture in linked.data}) == 2


@pytest.mark.parametrize("response_format", ["b64_json", "url"])
async def test_pictures_are_converted_to_the_format_asked_for(sdk: openai.AsyncOpenAI, response_format: Any) -> None:
    answer = await sdk.images.generate(
        model=IMAGE_MODEL, prompt="a cat", output_format="webp", output_compression=80, response_format=response_format
    )
    assert answer.data is not None
    if response_format == "url":
        async with httpx.AsyncClient() as stranger:
            opened = await stranger.get(answer.data[0].url or "")
        content = opened.content
        assert opened.headers["content-type"] == "image/webp"
    else:
        content = base64.b64decode(answer.data[0].b64_json or "")
    assert Image.open(io.BytesIO(content)).format == "WEBP"


async def test_streamed_images_complete_one_by_one(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.images.generate(model=IMAGE_MODEL, prompt="a cat", n=2, stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.completed"] * 2


async def test_edits_take_files_of_any_declared_type(sdk: openai.AsyncOpenAI, world: Any, make_picture: Any) -> None:
    first, second = make_picture(), make_picture(color="blue", kind="JPEG")
    answer = await sdk.images.edit(model=IMAGE_MODEL, prompt="mix", image=[io.BytesIO(first), ("b.jpg", second)])
    assert answer.data is not None
    sent = world.generation.image_requests[0].input_images
    assert [image.data for image in sent] == [first, second]


async def test_one_file_and_form_numbers_of_an_edit(sdk: openai.AsyncOpenAI, world: Any, make_picture: Any) -> None:
    await sdk.images.edit(model=IMAGE_MODEL, prompt="mix", image=make_picture(), n=2, extra_body={"seed": 7})
    request = world.generation.image_requests[0]
    assert (request.image_count, request.seed, len(request.input_images)) == (2, 7, 1)


async def test_a_mask_is_refused_clearly(sdk: openai.AsyncOpenAI, make_picture: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.images.edit(model=IMAGE_MODEL, prompt="mix", image=make_picture(), mask=make_picture())
    assert (caught.value.param, caught.value.code) == ("mask", "unsupported_parameter")


async def test_a_video_from_creation_to_its_bytes(sdk: openai.AsyncOpenAI, world: Any) -> None:
    video = await sdk.videos.create(model=VIDEO_MODEL, prompt="waves", seconds="8", size="1280x720")
    assert (video.status, video.seconds, video.size) == ("queued", "8", "1280x720")
    assert world.generation.video_requests[0].size.width == 1280
    assert not hasattr(video, "usage")
    await world.generation.change_video(video.id, usage=CLIP_USAGE)
    await world.generation.complete_video(video.id)
    done: Any = await sdk.videos.poll(video.id)
    assert (done.status, done.progress) == ("completed", 100)
    assert (done.usage["input_tokens"], done.usage["output_tokens"]) == (270, 46_339)
    assert done.usage["total_tokens"] == 46_609
    assert done.usage["input_tokens_details"] == {"text_tokens": 12, "image_tokens": 258, "video_tokens": 0}
    content = await sdk.videos.download_content(video.id)
    assert content.read().startswith(b"\x00\x00\x00\x18ftyp")
    assert content.response.headers["content-type"] == "video/mp4"


async def test_create_and_poll_ends_with_a_failed_job(sdk: openai.AsyncOpenAI, world: Any) -> None:
    polling = asyncio.create_task(sdk.videos.create_and_poll(model=VIDEO_MODEL, prompt="waves", poll_interval_ms=20))
    await eventually(lambda: world.generation.videos)
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_FILTERED)
    video = await polling
    assert video.status == "failed"
    assert video.error is not None
    assert video.error.code == "content_policy_violation"


async def test_a_first_frame_as_a_file(sdk: openai.AsyncOpenAI, world: Any, make_picture: Any) -> None:
    frame = make_picture()
    await sdk.videos.create(model=VIDEO_MODEL, prompt="go", input_reference=io.BytesIO(frame))
    assert world.generation.video_requests[0].input_images[0].data == frame


async def test_a_first_frame_as_an_object_in_the_form(sdk: openai.AsyncOpenAI, world: Any, make_picture: Any) -> None:
    url = f"data:image/png;base64,{base64.b64encode(make_picture()).decode()}"
    await sdk.videos.create(
        model=VIDEO_MODEL, prompt="go", extra_body={"input_reference": {"image_url": url}, "metadata": {"team": "a"}}
    )
    request = world.generation.video_requests[0]
    assert request.input_images[0].data == make_picture()
    assert dict(request.metadata) == {"team": "a"}


async def test_the_list_is_paged_to_its_end(sdk: openai.AsyncOpenAI) -> None:
    for _ in range(5):
        await sdk.videos.create(model=VIDEO_MODEL, prompt="waves")
    newest_first = [video.id async for video in sdk.videos.list(limit=2)]
    oldest_first = [video.id async for video in sdk.videos.list(limit=2, order="asc")]
    assert newest_first == ["video_5", "video_4", "video_3", "video_2", "video_1"]
    assert oldest_first == newest_first[::-1]


async def test_a_video_is_deleted_and_remixed(sdk: openai.AsyncOpenAI, world: Any) -> None:
    video = await sdk.videos.create(model=VIDEO_MODEL, prompt="waves")
    with pytest.raises(openai.BadRequestError):
        await sdk.videos.remix(video.id, prompt="at night")
    await world.generation.complete_video(video.id)
    remixed = await sdk.videos.remix(video.id, prompt="at night")
    assert remixed.remixed_from_video_id == video.id
    deleted = await sdk.videos.delete(video.id)
    assert (deleted.id, deleted.deleted) == (video.id, True)
    with pytest.raises(openai.NotFoundError):
        await sdk.videos.retrieve(video.id)


async def test_content_that_is_not_ready_is_not_retried(sdk: openai.AsyncOpenAI) -> None:
    video = await sdk.videos.create(model=VIDEO_MODEL, prompt="waves")
    with pytest.raises(openai.BadRequestError) as caught:
        await sdk.videos.download_content(video.id)
    assert caught.value.code == "video_not_ready"
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_video_in_chat_tells_its_progress(sdk: openai.AsyncOpenAI, world: Any) -> None:
    stream = await sdk.chat.completions.create(
        model=VIDEO_MODEL,
        messages=ASK,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"seconds": 4, "aspect_ratio": "9:16"},
    )
    chunks = aiter(stream)
    await anext(chunks)
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_IN_PROGRESS, progress_percent=30)
    seen = ""
    while "generating 30 %" not in seen:
        seen += getattr((await anext(chunks)).choices[0].delta, "reasoning_content", None) or ""
    await world.generation.change_video("video_1", usage=CLIP_USAGE)
    await world.generation.complete_video("video_1")
    *others, last = [chunk async for chunk in chunks]
    rest = [chunk.choices[0] for chunk in others]
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.total_tokens) == (270, 46_609)
    content = "".join(choice.delta.content or "" for choice in rest)
    assert content.startswith("```html\n<video src='http://127.0.0.1:")
    assert rest[-1].finish_reason == "stop"
    request = world.generation.video_requests[0]
    assert (request.duration_seconds, request.aspect_ratio) == (4, "9:16")


async def test_a_video_in_chat_without_stream_waits(sdk: openai.AsyncOpenAI, world: Any) -> None:
    asking = asyncio.create_task(sdk.chat.completions.create(model=VIDEO_MODEL, messages=ASK))
    await eventually(lambda: world.generation.watches)
    await world.generation.change_video("video_1", usage=CLIP_USAGE)
    await world.generation.complete_video("video_1")
    answer = await asking
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (270, 46_339)
    assert "<video src='" in (answer.choices[0].message.content or "")


async def test_a_video_that_fails_in_chat_is_not_retried(sdk: openai.AsyncOpenAI, world: Any) -> None:
    asking = asyncio.create_task(sdk.chat.completions.create(model=VIDEO_MODEL, messages=ASK))
    await eventually(lambda: world.generation.watches)
    error = video_pb2.VideoError(code="submission_unknown", message="It is not known whether it was sent.")
    await world.generation.change_video("video_1", state=video_pb2.VIDEO_STATE_FAILED, error=error)
    with pytest.raises(openai.InternalServerError) as caught:
        await asking
    assert caught.value.code == "submission_unknown"
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_a_watch_survives_a_peer_that_goes_and_comes_back(sdk: openai.AsyncOpenAI, world: Any) -> None:
    world.generation.watch_breaks = 1
    asking = asyncio.create_task(sdk.chat.completions.create(model=VIDEO_MODEL, messages=ASK))
    await eventually(lambda: world.generation.watches == 2)
    await world.generation.complete_video("video_1")
    answer = await asking
    assert "<video src='" in (answer.choices[0].message.content or "")


async def test_a_client_that_leaves_does_not_end_its_video(sdk: openai.AsyncOpenAI, world: Any) -> None:
    stream = await sdk.chat.completions.create(model=VIDEO_MODEL, messages=ASK, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await world.generation.complete_video("video_1")
    assert (await sdk.videos.retrieve("video_1")).status == "completed"


async def test_a_wrong_key_is_the_sdks_authentication_error(address: str) -> None:
    async with openai.AsyncOpenAI(api_key="sk-wrong", base_url=f"{address}/v1") as sdk:
        with pytest.raises(openai.AuthenticationError) as caught:
            await sdk.models.list()
    assert caught.value.code == "invalid_api_key"
