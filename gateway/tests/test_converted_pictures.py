"""A picture in another format is made once, kept beside the picture, and served like every stored file."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import pytest
from PIL import Image

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.media_store import MediaStore
from flow2api_gateway.media import converted
from flow2api_gateway.media.conversion import PictureFormat, convert_picture


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The formats of the conversions that were computed."""
    made: list[str] = []

    async def counted(content: bytes, wanted: PictureFormat) -> bytes:
        made.append(wanted.variant)
        return await convert_picture(content, wanted)

    monkeypatch.setattr(converted, "convert_picture", counted)
    return made


@pytest.fixture
async def link(client: httpx.AsyncClient) -> str:
    body = {"model": "gemini-3.1-flash-image", "prompt": "a heron", "output_format": "webp", "response_format": "url"}
    answer = await client.post("/v1/images/generations", json=body | {"output_compression": 80})
    url = httpx.URL(answer.raise_for_status().json()["data"][0]["url"])
    assert url.params["as"] == "webp-80"
    return url.raw_path.decode()


async def test_is_made_once_for_everybody_who_asks_at_once_or_later(
    client: httpx.AsyncClient, world: Any, link: str, conversions: list[str]
) -> None:
    answers = await asyncio.gather(*(client.get(link) for _ in range(5)))
    answers.append(await client.get(link))
    contents = {answer.raise_for_status().content for answer in answers}
    assert len(contents) == 1
    content = contents.pop()
    assert Image.open(io.BytesIO(content)).format == "WEBP"
    assert {answer.headers["content-type"] for answer in answers} == {"image/webp"}
    assert conversions == ["webp-80"]
    ((_, name), stored) = next(iter(world.generation.conversions.items()))
    assert (name, stored.size_bytes) == ("webp-80", len(content))
    assert await world.generation.store.get(stored.object_key, max_bytes=1 << 20) == content
    part = await client.get(link, headers={"range": "bytes=4-11"})
    assert (part.status_code, part.content) == (206, content[4:12])


async def test_is_made_again_when_its_bytes_have_gone(
    client: httpx.AsyncClient, world: Any, link: str, conversions: list[str]
) -> None:
    first = (await client.get(link)).content
    for stored in world.generation.conversions.values():
        await world.generation.store.delete(stored.object_key)
    assert (await client.get(link)).content == first
    assert conversions == ["webp-80"] * 2


async def test_is_answered_though_it_cannot_be_kept(
    client: httpx.AsyncClient, world: Any, link: str, conversions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise DependencyUnavailable("the media store is away")

    monkeypatch.setattr(MediaStore, "put", away)
    assert Image.open(io.BytesIO((await client.get(link)).raise_for_status().content)).format == "WEBP"
    assert world.generation.conversions == {}
    assert conversions == ["webp-80"]


async def test_leaves_nothing_when_the_picture_goes_meanwhile(
    client: httpx.AsyncClient, world: Any, link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(content: bytes, wanted: PictureFormat) -> bytes:
        world.generation.media.clear()
        return await convert_picture(content, wanted)

    monkeypatch.setattr(converted, "convert_picture", slow)
    kept = {file.key async for page in world.generation.store.pages(page_size=10) for file in page}
    assert (await client.get(link)).status_code == 404
    assert {file.key async for page in world.generation.store.pages(page_size=10) for file in page} == kept
