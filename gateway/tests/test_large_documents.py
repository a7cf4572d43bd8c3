"""Large JSON bodies: their pictures wait in a file of the request, and everything else is as with small ones."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from PIL import Image

from flow2api_gateway.edge.kept_pictures import PicturePlaces, keep_pictures, keeping_pictures, kept_picture
from flow2api_gateway.gemini.content.schemas import CONTENT_PICTURES
from flow2api_gateway.gemini.interactions.schemas import INPUT_PICTURES
from flow2api_gateway.gemini.videos.schemas import PREDICT_PICTURES
from flow2api_gateway.generation.pictures import decode_base64
from flow2api_gateway.openai.chat.schemas import CHAT_PICTURES
from flow2api_gateway.openai.images.schemas import EDIT_PICTURES
from flow2api_gateway.openai.videos.schemas import CREATE_PICTURES
from flow2api_testing.waiting import eventually

IMAGES, CLIPS = "gemini-3.1-flash-image", "veo-3.1-fast"
MARK = "<picture>"
"""Where a document has its picture."""

EDIT = {"model": IMAGES, "prompt": "at night", "response_format": "url"}
CLIP = {"model": CLIPS, "prompt": "a kite"}
PATHS = {
    "chat": "/v1/chat/completions",
    "edits": "/v1/images/edits",
    "videos": "/v1/videos",
    "gemini": f"/v1beta/models/{IMAGES}:generateContent",
    "vertex": f"/v1/projects/any/locations/us-central1/publishers/google/models/{CLIPS}:predictLongRunning",
    "interactions": "/v1beta/interactions",
}
PLACES = {
    "chat": CHAT_PICTURES,
    "edits": EDIT_PICTURES,
    "videos": CREATE_PICTURES,
    "gemini": CONTENT_PICTURES,
    "vertex": PREDICT_PICTURES,
    "interactions": INPUT_PICTURES,
}


def chat(part: dict[str, Any]) -> dict[str, Any]:
    content = [{"type": "text", "text": "at night"}, part]
    return {"model": IMAGES, "messages": [{"role": "user", "content": content}]}


def contents(blob: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": "at night"}, blob]}]}


def instance(**members: Any) -> dict[str, Any]:
    return {"instances": [{"prompt": "a kite", **members}]}


def blob(**members: Any) -> dict[str, Any]:
    return {"mimeType": "image/png", **members}


DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("chat", chat({"type": "image_url", "image_url": {"url": MARK}})),
    ("chat", chat({"type": "input_image", "image_url": MARK})),
    ("chat", chat({"type": "file", "file": {"file_data": MARK}})),
    ("edits", EDIT | {"image": MARK}),
    ("edits", EDIT | {"image": [MARK]}),
    ("edits", EDIT | {"images": [{"image_url": MARK}]}),
    ("edits", EDIT | {"images": [{"url": MARK}]}),
    ("edits", EDIT | {"images": [{"image_url": {"url": MARK}}]}),
    ("videos", CLIP | {"input_reference": MARK}),
    ("videos", CLIP | {"input_reference": {"image_url": MARK}}),
    ("videos", CLIP | {"reference_images": [MARK]}),
    ("gemini", contents({"inlineData": blob(data=MARK)})),
    ("gemini", contents({"inline_data": blob(data=MARK)})),
    ("vertex", instance(image=blob(bytesBase64Encoded=MARK))),
    ("vertex", instance(image={"inlineData": blob(data=MARK)})),
    ("vertex", instance(referenceImages=[{"image": blob(imageBytes=MARK), "referenceType": "asset"}])),
    ("interactions", {"model": IMAGES, "input": [{"type": "text", "text": "x"}, {"type": "image", "data": MARK}]}),
    (
        "interactions",
        {"model": IMAGES, "input": [{"type": "user_input", "content": [{"type": "image", "data": MARK}]}]},
    ),
]


def filled(kind: str, document: dict[str, Any], text: str) -> dict[str, Any]:
    """The document with that base64 in it, in the form of its dialect."""
    prefix = "data:image/png;base64," if kind in ("chat", "edits", "videos") else ""
    made: dict[str, Any] = json.loads(json.dumps(document).replace(MARK, prefix + text))
    return made


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture above what goes inside a message."""
    noise = io.BytesIO()
    Image.effect_noise((1100, 1100), 200).save(noise, "PNG", compress_level=0)
    assert len(noise.getvalue()) > 1 << 20
    return noise.getvalue()


@pytest.fixture(scope="module")
def encoded(large: bytes) -> str:
    return base64.b64encode(large).decode()


@pytest.mark.parametrize(("kind", "document"), DOCUMENTS)
def test_nothing_of_a_picture_stays_in_its_document(
    kind: str, document: dict[str, Any], encoded: str, large: bytes
) -> None:
    read = filled(kind, document, encoded)
    with keeping_pictures():
        keep_pictures(read, PLACES[kind])
    assert len(orjson.dumps(read)) < 500


@pytest.mark.parametrize(("kind", "document"), [DOCUMENTS[index] for index in (0, 3, 9, 11, 13, 16)])
async def test_large_pictures_arrive_as_they_were_sent(
    client: httpx.AsyncClient, world: Any, kind: str, document: dict[str, Any], encoded: str, large: bytes
) -> None:
    response = await client.post(PATHS[kind], json=filled(kind, document, encoded))
    assert response.status_code == 200, response.text
    assert list(world.generation.uploads.values()) == [large]


async def test_bodies_wait_for_each_other_and_leave_no_file_behind(
    open_client: Callable[..., Any], world: Any, encoded: str, large: bytes
) -> None:
    body = filled(*DOCUMENTS[3], encoded)
    before = temporary_files()
    async with open_client(json_bytes_at_once=1) as client:
        refused = await client.post(PATHS["edits"], json=body | {"image": "data:image/png;base64,?" + encoded})
        answers = await asyncio.gather(*(client.post(PATHS["edits"], json=body) for _ in range(4)))
        await eventually(lambda: temporary_files() <= before)
    assert refused.status_code == 400
    assert [answer.status_code for answer in answers] == [200] * 4
    assert list(world.generation.uploads.values()) == [large] * 4


def temporary_files() -> set[str]:
    """Files that this process has open although they have no name; what earlier tests have left is let go of first."""
    gc.collect()
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        # Reading the folder has one open itself, which is gone by now.
        with suppress(FileNotFoundError):
            links.append(str(entry.readlink()))
    return {link for link in links if link.endswith("(deleted)")}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("chat", DOCUMENTS[0][1], "data:image/png;base64,%"),
    ("chat", DOCUMENTS[0][1], "data:image/png,"),
    ("edits", DOCUMENTS[5][1], "data:image/png;base64,ab=c"),
    ("edits", DOCUMENTS[3][1], "data:image/png;base64,aGk"),
    ("videos", DOCUMENTS[9][1], "data:text/plain;base64,é"),
    ("gemini", DOCUMENTS[11][1], "%"),
    ("vertex", DOCUMENTS[13][1], "aGk"),
    ("interactions", DOCUMENTS[16][1], "data:image/png;base64,"),
]


@pytest.mark.parametrize(("kind", "document", "beginning"), WRONG)
async def test_large_pictures_are_refused_in_the_words_of_small_ones(
    client: httpx.AsyncClient, kind: str, document: dict[str, Any], beginning: str
) -> None:
    small, big = [
        await client.post(PATHS[kind], json=json.loads(json.dumps(document).replace(MARK, beginning + "aaaa" * times)))
        for times in (1, 400_000)
    ]
    assert small.status_code == 400, small.text
    assert big.json() == small.json()


@pytest.mark.parametrize(
    ("form", "code"),
    [("{%s", "invalid_json"), ("[%s]", "invalid_type"), ('{"prompt": "\\u0000", "x": %s}', "invalid_value")],
)
async def test_large_documents_are_refused_in_the_words_of_small_ones(
    client: httpx.AsyncClient, form: str, code: str
) -> None:
    async def refused(text: str) -> dict[str, Any]:
        body = (form % json.dumps(text)).encode()
        response = await client.post("/v1/images/edits", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 400, response.text
        answer: dict[str, Any] = response.json()
        return answer

    small, big = await refused("x"), await refused("x" * (2 << 20))
    assert big == small
    assert small["error"]["code"] == code


async def test_a_body_without_a_length_ends_at_the_limit(open_client: Callable[..., Any]) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000

    before = temporary_files()
    async with open_client(max_body_bytes=2 << 20) as client:
        response = await client.post("/v1/images/edits", content=body(), headers={"content-type": "application/json"})
        await eventually(lambda: temporary_files() <= before)
    assert response.status_code == 413, response.text


async def test_a_picture_is_no_prompt(client: httpx.AsyncClient, world: Any, encoded: str) -> None:
    prompt = f"data:image/png;base64,{encoded}"
    for path, body in (
        (PATHS["gemini"], {"contents": [{"parts": [{"text": prompt}]}]}),
        (PATHS["videos"], CLIP | {"prompt": prompt}),
    ):
        response = await client.post(path, json=body)
        assert response.status_code == 400
        assert "32000 characters" in response.json()["error"]["message"]
    chat_alone = {"model": IMAGES, "messages": [{"role": "user", "content": prompt}]}
    assert (await client.post(PATHS["chat"], json=chat_alone)).status_code == 200
    assert world.generation.image_requests[0].prompt == prompt


async def test_a_name_means_a_picture_in_its_own_request_alone(large: bytes, encoded: str) -> None:
    document = {"data": encoded}
    with keeping_pictures():
        keep_pictures(document, PicturePlaces(base64=("data",)))
        kept = kept_picture(document["data"])
        assert kept is not None
        assert (await kept.take(), await kept.take()) == (large, large)
        with keeping_pictures():
            assert kept_picture(document["data"]) is None
    assert kept_picture(document["data"]) is None


FORMS: list[tuple[Callable[[str], str], bool]] = [
    (lambda text: text, True),
    (lambda text: text.rstrip("="), True),
    (lambda text: text + "== \r\n=", True),
    (lambda text: text.translate(str.maketrans("+/", "-_")), True),
    (lambda text: "\r\n".join(text[at : at + 76] for at in range(0, len(text), 76)), True),
    (lambda text: text[: 1 << 20] + "=" + text[1 << 20 :], False),
    (lambda text: text[: 1 << 20] + "é" + text[1 << 20 :], False),
    (lambda text: text[:-1].rstrip("=") + "*", False),
    (lambda text: "A" + text.rstrip("=")[: len(text) // 4 * 4 - 4], False),
]


@pytest.mark.parametrize(("written", "is_valid"), FORMS)
@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_base64_is_read_in_pieces_as_in_one(
    large: bytes, written: Callable[[str], str], is_valid: bool, cut: int
) -> None:
    text = written(base64.b64encode(large[: len(large) - cut]).decode())
    document = {"data": text}
    with keeping_pictures():
        keep_pictures(document, PicturePlaces(base64=("data",)))
        kept = kept_picture(document["data"])
        if is_valid:
            assert kept is not None
            assert await kept.take() == decode_base64(text) == large[: len(large) - cut]
        else:
            assert document["data"] is text
            with pytest.raises(ValueError, match=r".+"):
                decode_base64(text)
