"""Limits, repeats and webhooks as OpenAI's own SDK handles them, the same in both modes."""

from __future__ import annotations

import threading
import uuid
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import openai
import pytest

from flow2api_testing.programs import block_until
from flow2api_testing.systems import API_KEY, System

pytestmark = pytest.mark.timeout(300)

IMAGE_MODEL = "gemini-3.1-flash-image"
VIDEO_MODEL = "veo-3.1-fast"


class RecordedTransport(httpx2.HTTPTransport):
    """Keeps what went over the wire; the first answer is lost on its way when ``loses_first``."""

    def __init__(self, *, loses_first: bool = False) -> None:
        super().__init__()
        self.calls: list[tuple[httpx2.Request, httpx2.Response]] = []
        self._loses_first = loses_first

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        response.read()
        self.calls.append((request, response))
        if self._loses_first and len(self.calls) == 1:
            raise httpx2.ReadError("The connection was lost.")
        return response


def repeating(system: System, transport: RecordedTransport) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{system.base_url}/v1",
        api_key=API_KEY,
        max_retries=2,
        http_client=httpx2.Client(transport=transport, trust_env=False),
    )


def test_key_that_begins_too_much_is_a_rate_limit_error(client: openai.OpenAI, sdk_variables: dict[str, str]) -> None:
    limited = client.with_options(api_key=sdk_variables["LIMITED_KEY"])
    answer = limited.images.with_raw_response.generate(model=IMAGE_MODEL, prompt="a boat")
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as caught:
        limited.images.generate(model=IMAGE_MODEL, prompt="a boat")
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_what_was_refused_for_now_is_repeated_when_it_was_said_to(system: System) -> None:
    transport = RecordedTransport()
    with repeating(system, transport) as client:
        # As often as there are accounts.
        client.images.generate(model=IMAGE_MODEL, prompt="busy [[fault:429 retry_after=1 times=3]] python")
    assert [response.status_code for _, response in transport.calls] == [429, 200]
    assert transport.calls[0][1].headers["retry-after"] == "1"
    assert transport.calls[1][0].headers["x-stainless-retry-count"] == "1"


def test_repeat_after_a_lost_answer_gets_the_same_picture_by_its_key(system: System) -> None:
    transport = RecordedTransport(loses_first=True)
    key = f"python-{uuid.uuid4()}"
    with repeating(system, transport) as client:
        answer = client.images.generate(model=IMAGE_MODEL, prompt="a boat", extra_headers={"Idempotency-Key": key})
    (_, lost), (again, replayed) = transport.calls
    assert again.headers["idempotency-key"] == key
    assert replayed.headers["idempotency-replayed"] == "true"
    assert answer.data is not None
    assert answer.data[0].b64_json == lost.json()["data"][0]["b64_json"]


@pytest.fixture
def received(receiver_port: int) -> Iterator[list[tuple[bytes, dict[str, str]]]]:
    """What comes to the port that webhooks may reach."""
    kept: list[tuple[bytes, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.append((self.rfile.read(int(self.headers["content-length"])), dict(self.headers.items())))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", receiver_port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="receiver")
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


def test_receiver_verifies_how_a_video_ended(
    client: openai.OpenAI, receiver_port: int, received: list[tuple[bytes, dict[str, str]]]
) -> None:
    endpoint = client.webhooks.create(
        name="python", url=f"http://127.0.0.1:{receiver_port}/python", event_types=["video.completed"]
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The Sora API", category=DeprecationWarning)
        video = client.videos.create(model=VIDEO_MODEL, prompt="told", seconds="8")
    block_until(lambda: any(video.id.encode() in body for body, _ in received), timeout=60)
    assert client.webhooks.delete(endpoint.id).deleted
    body, headers = next(each for each in received if video.id.encode() in each[0])
    event = client.webhooks.unwrap(body, headers, secret=endpoint.signing_secret)
    assert event.type == "video.completed"
    assert event.data.id == video.id
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body.replace(b"completed", b"failed"), headers, secret=endpoint.signing_secret)
