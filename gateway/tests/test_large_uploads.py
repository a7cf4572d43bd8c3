"""Large files of forms: on disk until their turn comes, and gone afterwards."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from starlette.datastructures import FormData, UploadFile

from flow2api_gateway.edge.uploaded_files import close_at_the_end, closing_uploaded_files, uploaded_file

CLIENTS = 5
GOOD = {"model": "gemini-3.1-flash-image", "prompt": "the same at night", "response_format": "url"}


@pytest.fixture(scope="module")
def large() -> bytes:
    """A picture above what goes inside a message."""
    noise = io.BytesIO()
    Image.effect_noise((2100, 2100), 200).save(noise, "PNG", compress_level=0)
    assert len(noise.getvalue()) > 4 << 20
    return noise.getvalue()


async def test_few_large_pictures_are_under_way_at_the_same_time(
    open_client: Callable[..., Any], world: Any, large: bytes
) -> None:
    async with open_client(large_pictures_at_once=1) as client:

        async def edit() -> httpx.Response:
            return await client.post("/v1/images/edits", data=GOOD, files={"image": ("a.png", large, "image/png")})

        answers = await asyncio.gather(*(edit() for _ in range(CLIENTS)))
    assert [answer.status_code for answer in answers] == [200] * CLIENTS
    assert world.generation.most_uploads_under_way == 1
    assert list(world.generation.uploads.values()) == [large] * CLIENTS


async def test_a_turn_is_given_back_by_pictures_that_are_refused(
    open_client: Callable[..., Any], world: Any, large: bytes
) -> None:
    async with open_client(large_pictures_at_once=1) as client:
        for content, status in ((b"text" * (2 << 20), 400), (large, 200)):
            response = await client.post("/v1/images/edits", data=GOOD, files={"image": content})
            assert response.status_code == status, response.text


async def test_several_large_pictures_keep_their_order(
    open_client: Callable[..., Any], world: Any, large: bytes, make_picture: Callable[..., bytes]
) -> None:
    small = make_picture()
    async with open_client(large_pictures_at_once=1) as client:
        files = [("image[]", small), ("image[]", large), ("image[]", small)]
        response = await client.post("/v1/images/edits", data=GOOD, files=files)
    assert response.status_code == 200, response.text
    sent = [world.generation.uploads[image.media_id] for image in world.generation.image_requests[0].input_images]
    assert sent == [small, large, small]


async def test_files_that_nobody_takes_are_closed_with_their_request() -> None:
    kept = UploadFile(io.BytesIO(b"unused"), size=6, filename="a.bin")
    with closing_uploaded_files():
        close_at_the_end(FormData([("file", kept), ("text", "x")]))
        assert not kept.file.closed
    assert kept.file.closed


async def test_a_file_is_closed_when_it_is_taken() -> None:
    kept = UploadFile(io.BytesIO(b"picture"), size=7, filename="a.png")
    file = uploaded_file(kept)
    assert (file.file_name, file.size_bytes) == ("a.png", 7)
    assert await file.take() == b"picture"
    assert kept.file.closed
