"""What holds for every request: order of checks, envelopes, headers, body limits."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from flow2api_common.errors import InternalError
from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.gateway_peers.content import API_KEY
from flow2api_testing.waiting import eventually

CHAT = {"model": "gemini-3.1-flash-image", "messages": [{"role": "user", "content": "a cat"}]}


def error_of(response: httpx.Response) -> dict[str, Any]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/x"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/images/edits"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/videos"),
        ("GET", "/v1/videos/video_1"),
        ("DELETE", "/v1/videos/video_1"),
        ("GET", "/v1/videos/video_1/content"),
        ("GET", "/v1/videos/video_1/events"),
        ("POST", "/v1/videos/video_1/cancel"),
        ("POST", "/v1/videos/video_1/remix"),
        ("POST", "/v1/videos/edits"),
        ("POST", "/v1/videos/extensions"),
    ],
)
@pytest.mark.parametrize(
    "authorization", ["", "Bearer sk-wrong", "Basic sk-good-key-0123456789", "Bearer session-good"]
)
async def test_a_stranger_learns_nothing(
    client: httpx.AsyncClient, world: Any, method: str, path: str, authorization: str
) -> None:
    response = await client.request(
        method, path, content=b"not json", headers={"authorization": authorization, "content-type": "text/html"}
    )
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"


async def test_a_slash_at_the_end_of_a_path_changes_nothing(client: httpx.AsyncClient) -> None:
    listed, read = await client.get("/v1/models/?limit=5"), await client.get("/v1/models/text-only/image/")
    answered = await client.post("/v1/chat/completions/", json=CHAT)
    assert [listed.status_code, read.status_code, answered.status_code] == [200, 200, 200]
    assert (listed.json()["object"], read.json()["id"]) == ("list", "text-only/image")
    assert error_of(await client.get("/v1/"))["message"] == "Invalid URL (GET /v1)"


async def test_the_key_is_checked_before_the_size(open_client: Any) -> None:
    async with open_client(max_body_bytes=10) as client:
        refused = await client.post("/v1/chat/completions", json=CHAT, headers={"authorization": "Bearer sk-wrong"})
        too_large = await client.post("/v1/chat/completions", json=CHAT)
    assert (refused.status_code, too_large.status_code) == (401, 413)
    assert error_of(too_large)["code"] == "request_too_large"


async def test_the_size_is_checked_while_reading(open_client: Any) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b" " * 1000

    async with open_client(max_body_bytes=5000) as client:
        response = await client.post(
            "/v1/chat/completions", content=endless(), headers={"content-type": "application/json"}
        )
    assert response.status_code == 413
    assert read < 20


async def test_a_form_is_limited_too(open_client: Any) -> None:
    async with open_client(max_body_bytes=5000) as client:
        response = await client.post("/v1/videos", data={"prompt": "x" * 9000}, files={"f": b"x"})
    assert response.status_code == 413


async def test_the_form_is_checked_before_the_model(client: httpx.AsyncClient) -> None:
    wrong_type = await client.post("/v1/chat/completions", json=CHAT | {"model": "nope", "n": "two"})
    wrong_value = await client.post("/v1/chat/completions", json=CHAT | {"model": "nope", "n": 99})
    assert (wrong_type.status_code, error_of(wrong_type)["param"]) == (400, "n")
    assert (wrong_value.status_code, error_of(wrong_value)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b'{"model": NaN}', "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_type"),
        (b"{}", "application/json", 400, "missing_required_parameter"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_of_the_wrong_form(
    client: httpx.AsyncClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    response = await client.post("/v1/chat/completions", content=content, headers={"content-type": content_type})
    assert (response.status_code, error_of(response)["code"]) == (status, code)


async def test_a_charset_that_refuses_to_decode(client: httpx.AsyncClient) -> None:
    content = b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na cat\r\n--b--\r\n'
    content_type = "multipart/form-data; boundary=b; charset=undefined"
    response = await client.post("/v1/videos", content=content, headers={"content-type": content_type})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_form")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/videos", {"json": {"model": "veo-3.1-fast", "prompt": "a\0b"}}),
        ("POST", "/v1/videos", {"json": {"model": "veo-3.1-fast", "prompt": "a", "metadata": {"k\\\0": "v"}}}),
        ("POST", "/v1/videos", {"files": {"model": (None, "veo-3.1-fast"), "prompt": (None, "a\0b")}}),
        ("GET", "/v1/videos/video_%001", {}),
        ("GET", "/v1/videos?after=video_%00", {}),
    ],
)
async def test_a_nul_character_goes_nowhere(
    client: httpx.AsyncClient, world: Any, method: str, path: str, body: dict[str, Any]
) -> None:
    response = await client.request(method, path, **body)
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_value")
    assert world.generation.video_requests == []


async def test_a_backslash_before_u0000_is_only_text(client: httpx.AsyncClient, world: Any) -> None:
    response = await client.post("/v1/videos", json={"model": "veo-3.1-fast", "prompt": "a \\u0000 b"})
    assert response.status_code == 200
    assert world.generation.video_requests[0].prompt == "a \\u0000 b"


async def test_a_broken_multipart_form(client: httpx.AsyncClient) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        response = await client.post("/v1/videos", content=b"garbage", headers={"content-type": content_type})
        assert response.status_code == 400
        assert error_of(response)["code"] in ("invalid_form", "missing_required_parameter")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, None),
        ("GET", "/v1/chat/completions", 405, "method_not_supported"),
        ("PATCH", "/v1/videos", 405, "method_not_supported"),
        ("POST", "/v1/images/variations", 404, None),
        ("POST", "/v1/videos/characters", 404, None),
        ("GET", "/v1/videos/characters/x", 404, None),
    ],
)
async def test_unknown_paths_and_methods(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str | None
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    if status == 405:
        assert response.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/videos", "GET, HEAD, POST"),
        ("POST", "/v1/videos/video_1", "DELETE, GET, HEAD"),
        ("POST", "/v1/videos/video_1/events", "GET, HEAD"),
        ("HEAD", "/v1/chat/completions", "POST"),
        ("PUT", "/v1/images/generations", "GET, HEAD, POST"),
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1beta/models", "GET, HEAD"),
        ("PUT", "/v1beta/models/gemini-3.1-flash-image:generateContent", "GET, HEAD, POST"),
        ("PATCH", "/admin/tokens", "GET, HEAD, POST"),
        ("DELETE", "/admin/tokens/1/enable", "POST"),
        ("DELETE", "/admin/login", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_all_that_the_path_takes(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


async def test_head_is_get_without_its_body(address: str) -> None:
    async with httpx.AsyncClient(base_url=address, headers={"authorization": f"Bearer {API_KEY}"}) as client:
        for path, status in (
            ("/v1/models", 200),
            ("/v1/videos?limit=2", 200),
            ("/v1/videos/video_no", 404),
            ("/v1beta/models", 200),
            ("/v1beta/files", 200),
            ("/v1beta/interactions/nothing", 404),
            ("/admin/tokens", 401),
            ("/", 200),
            ("/openapi.json", 200),
        ):
            head, whole = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (whole.status_code, b"") == (status, b""), path
            assert head.headers["content-length"] == whole.headers["content-length"]
        assert (await client.head("/metrics")).status_code == 200
    async with httpx.AsyncClient(base_url=address) as stranger:
        assert (await stranger.head("/v1/models")).status_code == 401


async def test_head_of_events_makes_no_events(address: str, world: Any) -> None:
    world.generation.videos["video_1"] = video_pb2.Video(video_id="video_1", version=1, api_key_id="key_1")
    async with httpx.AsyncClient(base_url=address, headers={"authorization": f"Bearer {API_KEY}"}) as client:
        head = await client.head("/v1/videos/video_1/events")
        assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        assert (await client.head("/v1/videos/video_no/events")).status_code == 404
        # The connection serves on: nothing of a stream was left in it.
        assert (await client.get("/v1/models")).status_code == 200
    await eventually(lambda: world.generation.watches == world.generation.watches_ended == 2)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /v1/models HTTP/1.1", 400),
        ("GET /v1beta/models HTTP/1.1", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b", 400),
        ("GET /healthz HTTP/1.1\r\nhost: a/b@c d", 400),
        ("GET /healthz HTTP/1.1\r\nhost: [::1]:8000", 200),
        ("GET /healthz HTTP/1.1\r\nhost:", 200),
        ("GET /healthz HTTP/1.0", 200),
    ],
)
async def test_a_request_says_once_which_host_it_means(address: str, head: str, status: int) -> None:
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"{head}\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert int(answer.split()[1]) == status
    assert (b'"Host' in answer or b"'Host'" in answer) == (status == 400)


async def test_every_answer_has_its_headers(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/v1/models"), await client.get("/nothing"), await client.get("/healthz")):
        assert response.headers["x-request-id"].startswith("req")
        assert response.headers["openai-processing-ms"].isdigit()


async def test_every_answer_guards_its_reader(open_client: Any) -> None:
    async with open_client() as client:
        answers = [await client.get(path) for path in ("/v1/models", "/nothing", "/healthz")]
        plain = await client.get("/v1/models")
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "server" not in answer.headers
    assert plain.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in plain.headers


async def test_a_packed_body_is_not_unpacked(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    response = await client.post("/v1/chat/completions", content=gzip.compress(b"{}"), headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


async def test_a_sane_request_id_of_the_client_is_kept(client: httpx.AsyncClient) -> None:
    kept = await client.get("/v1/models", headers={"x-request-id": "trace-42"})
    replaced = await client.get("/v1/models", headers={"x-request-id": "a b\tc"})
    assert kept.headers["x-request-id"] == "trace-42"
    assert replaced.headers["x-request-id"].startswith("req")


async def test_a_peers_fault_is_masked(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.early_error = InternalError("postgresql://user:secret@db is broken")
    response = await client.post("/v1/chat/completions", json=CHAT)
    assert response.status_code == 500
    assert "secret" not in response.text


async def test_a_peer_that_is_away_is_503(client: httpx.AsyncClient, world: Any) -> None:
    await client.get("/v1/models")
    await world.servers["generation"].stop(timedelta(0))
    response = await client.get("/v1/models/veo-3.1-fast")
    assert response.status_code == 503
    assert error_of(response)["type"] == "service_unavailable_error"
    assert response.headers["retry-after"]


async def test_cors_is_off_unless_set(open_client: Any) -> None:
    preflight = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with open_client() as client:
        closed = await client.options("/v1/models", headers=preflight)
    async with open_client(cors_origins=("https://app.example",)) as client:
        opened = await client.options("/v1/models", headers=preflight)
    assert "access-control-allow-origin" not in closed.headers
    assert opened.headers["access-control-allow-origin"] == "https://app.example"


async def test_a_good_key_is_asked_about_once(client: httpx.AsyncClient, world: Any) -> None:
    world.access.key_gate = asyncio.Event()
    asking = [asyncio.create_task(client.get("/v1/models")) for _ in range(20)]
    await asyncio.sleep(0)
    world.access.key_gate.set()
    assert {response.status_code for response in await asyncio.gather(*asking)} == {200}
    assert (await client.get("/v1/models")).status_code == 200
    assert world.access.key_checks == 1


async def test_a_key_whose_answer_may_not_be_kept_is_asked_about_each_time(
    client: httpx.AsyncClient, world: Any
) -> None:
    world.access.cache_duration = world.access.unwatched_cache_duration = timedelta(0)
    for _ in range(3):
        await client.get("/v1/models")
    assert world.access.key_checks == 3


async def test_a_wrong_key_is_not_remembered(client: httpx.AsyncClient, world: Any) -> None:
    for _ in range(2):
        await client.get("/v1/models", headers={"authorization": "Bearer sk-wrong"})
    assert world.access.key_checks == 2


async def test_a_body_above_the_limit_is_refused_on_a_socket_without_hanging(address: str) -> None:
    body = b'{"model": "' + b"x" * (65 << 20) + b'"}'
    headers = {"authorization": "Bearer sk-good-key-0123456789", "content-type": "application/json"}
    async with httpx.AsyncClient(timeout=30) as client:
        refused = await client.post(f"{address}/v1/chat/completions", content=body, headers=headers)
        assert refused.status_code == 413
        assert (await client.get(f"{address}/healthz")).status_code == 200
