"""What applications do with LiteLLM's client: one line of JSON for each scenario, run in an environment of its own.

It pins an older ``openai`` than ours, so that this program imports nothing of the project. The gateway is an OpenAI
provider to it: a base URL, a key, and ``openai/`` before the model.
"""

from __future__ import annotations

import io
import json
import os
import time
import traceback
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# Else it asks the network for prices while it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import httpx
import litellm
from litellm import exceptions

litellm.suppress_debug_info = True

IMAGE_MODEL = "openai/gemini-3.1-flash-image"
VIDEO_MODEL = "openai/veo-3.1-fast"
DOOR = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"], "num_retries": 0}
VIDEO_DOOR = DOOR | {"custom_llm_provider": "openai"}
PATIENCE_SECONDS = 60.0
AT_ONCE = 4

SCENARIOS: dict[str, Callable[[], None]] = {}


def scenario(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(run: Callable[[], None]) -> Callable[[], None]:
        SCENARIOS[name] = run
        return run

    return register


def ask(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


def download(url: str) -> bytes:
    return httpx.get(url, timeout=30).raise_for_status().content


def link_in(content: str | None) -> str:
    assert content, "no content"
    assert "](" in content, content
    return content.split("](")[1].split(")")[0]


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG")


def make_picture() -> bytes:
    return b64decode(litellm.image_generation(model=IMAGE_MODEL, prompt="a boat", **DOOR).data[0].b64_json)


def make_video(**fields: Any) -> Any:
    video = litellm.video_generation(
        model=VIDEO_MODEL, **{"prompt": "waves", "seconds": "8", "size": "1280x720", **fields}, **DOOR
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while video.status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, f"still {video.status}"
        time.sleep(0.2)
        video = litellm.video_status(video.id, **VIDEO_DOOR)
    return video


def refusal(run: Callable[[], Any], kind: type[Exception]) -> Any:
    caught = None
    try:
        run()
    except kind as error:
        caught = error
    assert type(caught) is kind, f"expected {kind.__name__}, not {caught!r}"
    return caught


@scenario("a completion answers a picture")
def completion() -> None:
    answer = litellm.completion(
        model=IMAGE_MODEL,
        messages=ask("a heron"),
        temperature=0.7,
        max_tokens=100,
        user="user-1",
        extra_body={"aspect_ratio": "16:9"},
        **DOOR,
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert is_png(download(link_in(answer.choices[0].message.content)))


@scenario("a completion streams its progress, the picture and the usage")
def streamed_completion() -> None:
    stream = litellm.completion(
        model=IMAGE_MODEL, messages=ask("a grebe"), stream=True, stream_options={"include_usage": True}, **DOOR
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "generating" in "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert is_png(download(link_in("".join(delta.content or "" for delta in deltas))))
    assert any(getattr(chunk, "usage", None) for chunk in chunks)
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == "".join(delta.content or "" for delta in deltas)


@scenario("a completion takes a picture")
def completion_with_picture() -> None:
    url = f"data:image/png;base64,{b64encode(make_picture()).decode()}"
    parts = [{"type": "text", "text": "at night"}, {"type": "image_url", "image_url": {"url": url}}]
    answer = litellm.completion(model=IMAGE_MODEL, messages=ask(parts), **DOOR)
    assert is_png(download(link_in(answer.choices[0].message.content)))


@scenario("a completion goes on from its own picture, with what front ends send besides")
def conversation() -> None:
    first = litellm.completion(model=IMAGE_MODEL, messages=ask("a boat"), n=2, **DOOR)
    contents = [choice.message.content for choice in first.choices]
    assert len(set(contents)) == 2
    refused = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    drawn = {"role": "assistant", "content": contents[0]}
    answer = litellm.completion(
        model=IMAGE_MODEL,
        messages=[
            {"role": "system", "content": "Draw in ink."},
            *ask("a text"),
            refused,
            *ask("a boat"),
            drawn,
            *ask("now in the rain"),
        ],
        tools=[],
        response_format={"type": "text"},
        top_p=1,
        presence_penalty=0,
        seed=7,
        stop=None,
        metadata={"chat": "1"},
        extra_body={"store": False, "chat_id": "of the front end"},
        **DOOR,
    )
    assert download(link_in(answer.choices[0].message.content)) != download(link_in(contents[0]))


@scenario("a completion answers a clip")
def completion_with_clip() -> None:
    answer = litellm.completion(model=VIDEO_MODEL, messages=ask("waves"), extra_body={"seconds": 8}, **DOOR)
    url = answer.choices[0].message.content.split("<video src='")[1].split("'")[0]
    assert b"ftyp" in download(url)[:12]


@scenario("pictures come as base64")
def pictures_as_base64() -> None:
    answer = litellm.image_generation(model=IMAGE_MODEL, prompt="a pier", size="1024x1024", quality="low", **DOOR)
    assert is_png(b64decode(answer.data[0].b64_json))


@scenario("pictures come as links, all different")
def pictures_as_links() -> None:
    # As an argument it refuses the field for every model whose name it does not know.
    answer = litellm.image_generation(
        model=IMAGE_MODEL, prompt="a pier", n=2, extra_body={"response_format": "url"}, **DOOR
    )
    one, two = (download(image.url) for image in answer.data)
    assert is_png(one)
    assert is_png(two)
    assert one != two


@scenario("several pictures are edited")
def edit() -> None:
    images = [io.BytesIO(make_picture()), io.BytesIO(make_picture())]
    for number, image in enumerate(images):
        image.name = f"{number}.png"
    answer = litellm.image_edit(model=IMAGE_MODEL, image=images, prompt="both", **DOOR)
    assert is_png(b64decode(answer.data[0].b64_json))


@scenario("a video is made, listed and read")
def video_and_content() -> None:
    video = make_video()
    assert (video.status, video.seconds, video.size) == ("completed", "8", "1280x720")
    assert b"ftyp" in litellm.video_content(video.id, **VIDEO_DOOR)[:12]
    assert litellm.video_content(video.id, variant="thumbnail", **VIDEO_DOOR)[8:12] == b"WEBP"
    listed = litellm.video_list(limit=2, **VIDEO_DOOR)
    assert len(listed["data"]) <= 2


@scenario("a video begins with a picture")
def video_from_picture() -> None:
    frame = io.BytesIO(make_picture())
    frame.name = "frame.png"
    assert make_video(input_reference=frame).status == "completed"


@scenario("a video is remixed")
def remixed_video() -> None:
    source = make_video()
    remixed = litellm.video_remix(source.id, prompt="at night", **VIDEO_DOOR)
    assert remixed.remixed_from_video_id.startswith("video_")


@scenario("a refused video fails with a code")
def refused_video() -> None:
    video = make_video(prompt="[[fault:content]] refused")
    assert (video.status, video.error["code"]) == ("failed", "content_policy_violation")


@scenario("a mask and a length that the model lacks are refused by name")
def refused_fields() -> None:
    image = io.BytesIO(make_picture())
    image.name = "boat.png"
    masked = refusal(
        lambda: litellm.image_edit(model=IMAGE_MODEL, image=[image], mask=image, prompt="red", **DOOR),
        exceptions.BadRequestError,
    )
    assert "mask" in str(masked)
    lacking = refusal(
        lambda: litellm.video_generation(model=VIDEO_MODEL, prompt="waves", seconds="77", **DOOR),
        exceptions.BadRequestError,
    )
    assert "Invalid seconds '77'" in str(lacking)


@scenario("a wrong key is an authentication error")
def wrong_key() -> None:
    door = DOOR | {"api_key": "sk-wrong"}
    for run in (
        lambda: litellm.completion(model=IMAGE_MODEL, messages=ask("a"), **door),
        lambda: litellm.image_generation(model=IMAGE_MODEL, prompt="a", **door),
    ):
        assert refusal(run, exceptions.AuthenticationError).status_code == 401


@scenario("a model of nobody is not found")
def unknown_model() -> None:
    refusal(lambda: litellm.completion(model="openai/nobody", messages=ask("a"), **DOOR), exceptions.NotFoundError)


@scenario("a wrong value is a bad request")
def wrong_value() -> None:
    error = refusal(
        lambda: litellm.image_generation(model=IMAGE_MODEL, prompt="a", size="0x0", **DOOR), exceptions.BadRequestError
    )
    assert "Invalid size '0x0'" in str(error)


@scenario("refused content is a violation of the policy")
def refused_content() -> None:
    refusal(
        lambda: litellm.completion(model=IMAGE_MODEL, messages=ask("[[fault:content]]"), **DOOR),
        exceptions.ContentPolicyViolationError,
    )


@scenario("a key that begins too much is a rate limit error")
def rate_limit() -> None:
    door = DOOR | {"api_key": os.environ["LIMITED_KEY"], "max_retries": 0}
    litellm.completion(model=IMAGE_MODEL, messages=ask("a"), **door)
    error = refusal(lambda: litellm.completion(model=IMAGE_MODEL, messages=ask("b"), **door), exceptions.RateLimitError)
    assert "1 generations a minute" in str(error)


def play(name: str) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        SCENARIOS[name]()
        error = None
    except Exception:  # noqa: BLE001 - whatever a scenario raises is its outcome.
        error = traceback.format_exc()
    return {"scenario": name, "error": error, "seconds": time.monotonic() - begun}


if __name__ == "__main__":
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for outcome in pool.map(play, SCENARIOS):
            print(json.dumps(outcome), flush=True)
