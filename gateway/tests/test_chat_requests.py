"""Chat requests as the generation-service gets them."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from flow2api_common.errors import InternalError, UpstreamRejected
from flow2api_proto.generation.v1 import image_pb2

MODEL = "gemini-3.1-flash-image"


def body(content: Any = "a cat", **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def with_picture(url: str, words: str = "change it") -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": url}}]


async def ask(client: httpx.AsyncClient, request: dict[str, Any]) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=request)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"aspect_ratio": "9:16"}, {"aspect_ratio": "9:16"}),
        ({"extra_body": {"aspect_ratio": "1:1"}}, {"aspect_ratio": "1:1"}),
        ({"aspect_ratio": "9:16", "extra_body": {"aspect_ratio": "1:1"}}, {"aspect_ratio": "9:16"}),
        (
            {"generationConfig": {"imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}}},
            {"aspect_ratio": "16:9", "resolution": "2K"},
        ),
        ({"extra_body": {"generationConfig": {"imageConfig": {"imageSize": "2k"}}}}, {"resolution": "2K"}),
        ({"quality": "high"}, {"resolution": "2K"}),
        ({"quality": "low"}, {"resolution": "1K"}),
        ({"image_size": "1k"}, {"resolution": "1K"}),
        ({"seed": 7}, {"seed": 7}),
        ({"n": 3}, {"image_count": 3}),
        ({"size": "2048x2048"}, {"resolution": "2K"}),
    ],
)
async def test_extensions_reach_the_generation(
    client: httpx.AsyncClient, world: Any, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert (await ask(client, body(**fields))).status_code == 200
    request = world.generation.image_requests[0]
    assert {name: getattr(request, name) for name in expected} == expected


async def test_the_size_the_key_and_the_idempotency_key_travel(client: httpx.AsyncClient, world: Any) -> None:
    await client.post("/v1/chat/completions", json=body(size="1536x1024"), headers={"idempotency-key": "once"})
    request = world.generation.image_requests[0]
    assert (request.size.width, request.size.height) == (1536, 1024)
    assert (request.api_key_id, request.request_id, request.prompt) == ("key_1", "once", "a cat")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "0x0"}, "size"),
        ({"size": "99999x99999"}, "size"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"quality": "superb"}, "quality"),
        ({"image_size": "4K"}, "image_size"),
        ({"seconds": "soon"}, "seconds"),
        ({"seed": 2**63}, "seed"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"generationConfig": {"imageConfig": {"imageSize": 4}}}, "generationConfig.imageConfig.imageSize"),
        (body(with_picture("extend://video_7")), "messages[0].content[1].image_url.url"),
        (body(with_picture("extend://"), model="veo-3.1-fast"), "messages[0].content[1].image_url.url"),
        ({"model": "veo-3.1-fast", "n": 2}, "n"),
        ({"model": "veo-3.1-fast", "seconds": 7}, "seconds"),
        ({"model": "veo-3.1-fast", "resolution": "4k"}, "resolution"),
    ],
)
async def test_wrong_values_name_their_param(client: httpx.AsyncClient, fields: dict[str, Any], param: str) -> None:
    response = await ask(client, body() | fields)
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


async def test_pictures_go_inline_while_they_are_small(
    client: httpx.AsyncClient, world: Any, make_picture: Any
) -> None:
    await ask(client, body(with_picture(data_url(make_picture()))))
    request = world.generation.image_requests[0]
    assert request.input_images[0].data == make_picture()
    assert request.prompt == "change it"
    assert world.generation.uploads == {}


async def test_large_pictures_are_uploaded_first(client: httpx.AsyncClient, world: Any) -> None:
    noise = io.BytesIO()
    Image.effect_noise((2200, 2200), 200).save(noise, "PNG", compress_level=0)
    large = noise.getvalue()
    assert len(large) > 4 << 20
    await ask(client, body(with_picture(data_url(large))))
    request = world.generation.image_requests[0]
    assert request.input_images[0].media_id == "up0"
    assert world.generation.uploads == {"up0": large}


@pytest.mark.parametrize("alphabet", ["standard", "urlsafe", "no padding", "with spaces"])
async def test_base64_in_every_dialect(client: httpx.AsyncClient, world: Any, make_picture: Any, alphabet: str) -> None:
    content = make_picture()
    text = base64.b64encode(content).decode()
    dialects = {
        "standard": text,
        "urlsafe": base64.urlsafe_b64encode(content).decode(),
        "no padding": text.rstrip("="),
        "with spaces": f"{text[:10]}\n{text[10:]}",
    }
    await ask(client, body(with_picture(f"data:image/png;base64,{dialects[alphabet]}")))
    assert world.generation.image_requests[0].input_images[0].data == content


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,###", "invalid_image_url"),
        ("data:image/png;base64,é", "invalid_image_url"),
        ("data:image/png,abc", "invalid_image_url"),
        ("data:image/png;base64," + base64.b64encode(b"<html>").decode(), "invalid_image"),
        ("data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n broken").decode(), "invalid_image"),
        ("http://127.0.0.1:1/a.png", "invalid_image_url"),
        ("http://gw.example/media/abc?exp=1&sig=x", "invalid_image_url"),
        ("http://gw.example/v1/models", "invalid_image_url"),
        ("nonsense", "invalid_image_url"),
    ],
)
async def test_a_picture_that_is_none_is_named(client: httpx.AsyncClient, url: str, code: str) -> None:
    error = (await ask(client, body(with_picture(url)))).json()["error"]
    assert (error["code"], error["param"]) == (code, "messages[0].content[1].image_url.url")


async def test_a_picture_with_too_many_pixels_is_refused(open_client: Any, make_picture: Any) -> None:
    async with open_client(max_image_pixels=1000) as client:
        response = await ask(client, body(with_picture(data_url(make_picture(100, 100)))))
    assert response.json()["error"]["code"] == "image_too_large"


async def test_a_picture_for_a_text_only_model_is_refused(client: httpx.AsyncClient, make_picture: Any) -> None:
    response = await ask(client, body(with_picture(data_url(make_picture())), model="text-only/image"))
    assert (response.status_code, response.json()["error"]["param"]) == (400, "messages")


async def test_the_last_answer_is_the_reference_read_from_the_store(client: httpx.AsyncClient, world: Any) -> None:
    first = (await ask(client, body("a cat"))).json()
    conversation = [
        {"role": "user", "content": "a cat"},
        first["choices"][0]["message"],
        {"role": "user", "content": "make it blue"},
    ]
    assert (await ask(client, body() | {"messages": conversation})).status_code == 200
    request = world.generation.image_requests[1]
    assert [image.media_id for image in request.input_images] == ["pic0"]
    assert request.prompt == "make it blue"


async def test_an_earlier_picture_that_cannot_be_had_is_left_out(client: httpx.AsyncClient, world: Any) -> None:
    conversation = [
        {"role": "assistant", "content": "![x](http://127.0.0.1:1/gone.png)"},
        {"role": "user", "content": "a cat"},
    ]
    assert (await ask(client, body() | {"messages": conversation})).status_code == 200
    assert len(world.generation.image_requests[0].input_images) == 0


async def test_a_clip_to_continue_is_named(client: httpx.AsyncClient, world: Any) -> None:
    request = body(with_picture("extend://video_7", "go on"), model="veo-3.1-fast", stream=True)
    world.generation.early_error = UpstreamRejected("No.", reason="CONTENT_REJECTED")
    await ask(client, request)
    assert world.generation.video_requests[0].source_video_id == "video_7"


async def test_a_picture_that_failed_beside_others_is_a_choice(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.failed_images = {1: image_pb2.ImageFailure(reason="CONTENT_REJECTED", message="Refused.")}
    choices = (await ask(client, body(n=2))).json()["choices"]
    assert choices[0]["message"]["content"].startswith("![")
    assert (choices[1]["message"]["refusal"], choices[1]["finish_reason"]) == ("Refused.", "content_filter")


async def test_a_refusal_is_a_bad_request(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = UpstreamRejected("Refused.", reason="CONTENT_REJECTED")
    response = await ask(client, body())
    assert (response.status_code, response.json()["error"]["code"]) == (400, "content_policy_violation")


async def test_the_url_stands_beside_the_choices(client: httpx.AsyncClient) -> None:
    answer = (await ask(client, body())).json()
    assert answer["url"] in answer["choices"][0]["message"]["content"]


async def test_a_service_that_dies_while_generating_may_have_been_paid(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.dies_while_generating = True
    response = await ask(client, body())
    assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")


async def test_a_bug_while_generating_may_have_been_paid(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.late_error = InternalError("a bug")
    response = await ask(client, body())
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")


async def test_a_video_whose_watch_fails_is_not_bought_again(client: httpx.AsyncClient, world: Any) -> None:
    world.generation.watch_error = InternalError("a bug")
    response = await ask(client, body(model="veo-3.1-fast"))
    assert (response.status_code, response.headers["x-should-retry"]) == (500, "false")


async def test_our_own_link_is_read_from_the_store(client: httpx.AsyncClient, world: Any, make_picture: Any) -> None:
    first = await ask(client, body("a cat"))
    markdown = first.json()["choices"][0]["message"]["content"]
    messages = [
        {"role": "user", "content": "a cat"},
        {"role": "assistant", "content": markdown},
        {"role": "user", "content": "now at night"},
    ]
    response = await ask(client, {"model": "gemini-3.1-flash-image", "messages": messages})
    assert response.status_code == 200
    (image,) = world.generation.image_requests[1].input_images
    assert image.media_id
    assert image.media_id in markdown


async def test_an_answered_picture_that_has_expired_is_left_out(client: httpx.AsyncClient, world: Any) -> None:
    markdown = (await ask(client, body("a cat"))).json()["choices"][0]["message"]["content"]
    world.generation.media.clear()
    messages = [{"role": "assistant", "content": markdown}, {"role": "user", "content": "now at night"}]
    response = await ask(client, {"model": "gemini-3.1-flash-image", "messages": messages})
    assert response.status_code == 200
    assert not world.generation.image_requests[1].input_images
