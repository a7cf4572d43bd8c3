"""Pictures are known by their bytes and have to be whole."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image

from flow2api_generation_service.media import pictures
from flow2api_generation_service.media.pictures import NotAPicture, as_input, look_at

KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif", "BMP": "image/bmp"}


@pytest.mark.parametrize(("kind", "content_type"), KINDS.items())
async def test_type_and_size_are_read_from_the_bytes(
    picture: Callable[..., bytes], kind: str, content_type: str
) -> None:
    found = await look_at(picture((80, 45), kind))
    assert (found.content_type, found.width, found.height) == (content_type, 80, 45)


@pytest.mark.parametrize("kind", KINDS)
async def test_cut_off_picture_is_refused(kind: str) -> None:
    out = io.BytesIO()
    Image.effect_noise((256, 256), 100).convert("RGB").save(out, format=kind)
    whole = out.getvalue()
    await look_at(whole)
    with pytest.raises(NotAPicture):
        await look_at(whole[: len(whole) * 2 // 3])


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" + b"\x00" * 50, b"BM"])
async def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(NotAPicture):
        await look_at(data)


async def test_too_many_pixels_are_refused_before_decoding(
    picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1_000_000)
    with pytest.raises(NotAPicture, match="1 million"):
        await look_at(picture((1001, 1000)))


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
async def test_unsafe_kinds_become_png_as_input(picture: Callable[..., bytes], kind: str) -> None:
    found = await as_input(await look_at(picture((20, 10), kind)))
    again = await look_at(found.data)
    assert (again.content_type, again.width, again.height) == ("image/png", 20, 10)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
async def test_safe_kinds_stay_as_they_are(picture: Callable[..., bytes], kind: str) -> None:
    data = picture((20, 10), kind)
    assert (await as_input(await look_at(data))).data == data
