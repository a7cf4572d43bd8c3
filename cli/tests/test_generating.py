"""Following a generation through the public API, whatever the gateway answers."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from flow2api_cli.api_client import Api, ApiError
from flow2api_cli.generating import make_image, make_video


def api(answer: Callable[[httpx.Request], httpx.Response]) -> Api:
    return Api(httpx.AsyncClient(base_url="http://gateway", transport=httpx.MockTransport(answer)))


def chunk(**delta: str) -> str:
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) + "\n\n"


def events(*parts: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, text="".join(parts))


class Progress:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, float | None]] = []

    def __call__(self, message: str, fraction: float | None) -> None:
        self.told.append((message, fraction))


async def test_image_reports_progress_and_fetches_the_linked_file() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/media/a.png":
            return httpx.Response(200, content=b"picture")
        assert json.loads(request.content)["size"] == "1376x768"
        return events(
            chunk(role="assistant", content=""),
            ": keep-alive\n\n",
            chunk(reasoning_content="generating 40 %\n"),
            chunk(content="![Generated Image](http://gateway/media/a.png?sig=1)"),
            'data: {"choices": [], "usage": {}}\n\n',
            "data: [DONE]\n\n",
        )

    progress = Progress()
    made = await make_image(api(answer), model="m", prompt="p", size="1376x768", progress=progress)
    assert made.content == b"picture"
    assert made.source == "http://gateway/media/a.png?sig=1"
    assert progress.told[0] == ("generating 40 %", 0.4)


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((chunk(refusal="content was refused"),), "content_policy_violation"),
        (('data: {"error": {"message": "busy", "code": "no_account_available"}}\n\n',), "no_account_available"),
        ((chunk(content="sorry"), "data: [DONE]\n\n"), None),
    ],
    ids=["refused", "error after the first byte", "no picture"],
)
async def test_image_that_does_not_come_is_an_error(parts: tuple[str, ...], code: str | None) -> None:
    with pytest.raises(ApiError) as caught:
        await make_image(api(lambda _: events(*parts)), model="m", prompt="p", size=None, progress=Progress())
    assert caught.value.code == code


async def test_error_before_the_stream_keeps_its_message_and_code() -> None:
    envelope = {
        "error": {"message": "Wrong key.", "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    }
    with pytest.raises(ApiError, match="Wrong key") as caught:
        await make_image(
            api(lambda _: httpx.Response(401, json=envelope)), model="m", prompt="p", size=None, progress=Progress()
        )
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


async def test_video_is_followed_to_its_file() -> None:
    polls = iter(["in_progress", "completed"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            assert json.loads(request.content) == {"model": "m", "prompt": "p", "seconds": "8"}
            return httpx.Response(200, json={"id": "video_1", "status": "queued", "progress": 0})
        if request.url.path == "/v1/videos/video_1/content":
            return httpx.Response(200, content=b"clip")
        return httpx.Response(200, json={"id": "video_1", "status": next(polls), "progress": 50})

    progress = Progress()
    made = await make_video(api(answer), model="m", prompt="p", size=None, seconds="8", progress=progress)
    assert (made.content, made.source) == (b"clip", "video_1")
    assert progress.told[:2] == [("queued", 0.0), ("in progress", 0.5)]


async def test_failed_video_is_an_error_with_its_code() -> None:
    failed = {"id": "video_1", "status": "failed", "error": {"code": "content_policy_violation", "message": "refused"}}
    with pytest.raises(ApiError, match="refused") as caught:
        await make_video(
            api(lambda _: httpx.Response(200, json=failed)),
            model="m",
            prompt="p",
            size=None,
            seconds=None,
            progress=Progress(),
        )
    assert caught.value.code == "content_policy_violation"


async def test_absent_gateway_is_said_plainly() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ApiError, match="no gateway answers at http://gateway"):
        await api(refuse).call("GET", "/v1/models")
