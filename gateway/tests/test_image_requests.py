"""The Images API below the SDK."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from flow2api_common.errors import UpstreamRejected
from flow2api_proto.generation.v1 import image_pb2

GOOD = {"model": "gemini-3.1-flash-image", "prompt": "a cat"}


async def ask(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/v1/images/generations", json=GOOD | fields)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": ""}, "prompt", "invalid_value"),
        ({"prompt": "x" * 32_001}, "prompt", "invalid_value"),
        ({"model": "veo-3.1-fast"}, "model", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"size": "huge"}, "size", "invalid_value"),
        ({"size": "-1x5"}, "size", "invalid_value"),
        ({"quality": "superb"}, "quality", "invalid_value"),
        ({"background": "transparent"}, "background", "unsupported_parameter"),
        ({"output_format": "gif"}, "output_format", "invalid_value"),
        ({"output_compression": 101}, "output_compression", "invalid_value"),
        ({"response_format": "xml"}, "response_format", "invalid_value"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"partial_images": 4}, "partial_images", "invalid_value"),
        ({"svg": {"width": 10}}, "svg", "unsupported_parameter"),
    ],
)
async def test_wrong_values_name_their_param(
    client: httpx.AsyncClient, world: Any, fields: dict[str, Any], param: str, code: str
) -> None:
    response = await ask(client, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code)
    assert world.generation.image_requests == []


async def test_the_answer_states_the_truth_about_the_picture(client: httpx.AsyncClient) -> None:
    answer = (await ask(client, size="1792x1024", quality="low")).json()
    assert (answer["size"], answer["output_format"], answer["quality"]) == ("64x36", "png", "low")
    assert answer["usage"]["total_tokens"] == 1132


async def test_what_came_is_answered_when_some_failed(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.failed_images = {0: image_pb2.ImageFailure(reason="UPSTREAM_ERROR", message="It broke.")}
    answer = (await ask(client, n=3)).json()
    assert len(answer["data"]) == 2


@pytest.mark.parametrize("is_lost", [True, False])
async def test_a_made_picture_that_cannot_be_answered_is_not_bought_again(
    client: httpx.AsyncClient, world: Any, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    add_media = world.generation.add_media

    async def spoiled(media_id: str, content: bytes, content_type: str, **facts: int) -> Any:
        media = await add_media(media_id, content[:60], content_type, **facts)
        if is_lost:
            await world.generation.store.delete(media.object_key)
        return media

    monkeypatch.setattr(world.generation, "add_media", spoiled)
    response = await ask(client, output_format="webp")
    assert response.status_code == (404 if is_lost else 500)
    assert response.headers["x-should-retry"] == "false"


async def test_a_refusal_has_the_images_type(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("Refused.", reason="CONTENT_REJECTED")
    error = (await ask(client)).json()["error"]
    assert (error["type"], error["code"]) == ("image_generation_user_error", "content_policy_violation")


async def test_an_error_in_a_stream_is_an_error_event(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("Refused.", reason="CONTENT_REJECTED")
    response = await ask(client, stream=True)
    assert response.status_code == 200
    assert response.text.startswith('event: error\ndata: {"error":')
    assert "image_generation_user_error" in response.text


async def test_edits_as_json_with_urls_and_ids(client: httpx.AsyncClient, world: Any, make_picture: Any) -> None:
    url = f"data:image/png;base64,{base64.b64encode(make_picture()).decode()}"
    await world.generation.add_media("pic7", make_picture(), "image/png")
    response = await client.post("/v1/images/edits", json=GOOD | {"images": [{"image_url": url}, {"file_id": "pic7"}]})
    assert response.status_code == 200
    first, second = world.generation.image_requests[0].input_images
    assert (first.data, second.media_id) == (make_picture(), "pic7")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "image"),
        ({"image": "../../etc/passwd"}, "image"),
        ({"image": 7}, "image"),
        ({"images": []}, "images"),
        ({"image": ""}, "image"),
        ({"images": '["a/b"]'}, "images[0]"),
        ({"images": [{}]}, "images[0]"),
        ({"images": [{"file_id": "a/b"}]}, "images[0].file_id"),
        ({"images": [{"file_id": "a"}] * 4}, "images"),
        ({"image": ["a"] * 4}, "image"),
        ({"images": [{"file_id": "a"}] * 17}, "images"),
    ],
)
async def test_a_wrong_picture_of_an_edit_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    response = await client.post("/v1/images/edits", json=GOOD | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_a_file_that_is_no_picture_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/images/edits", data=GOOD, files={"image": ("a.png", b"text", "image/png")})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, "image", "invalid_image")
