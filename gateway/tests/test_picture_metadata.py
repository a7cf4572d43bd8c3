"""Pictures that come in lose what they tell about their owner, and nothing else."""

from __future__ import annotations

import io
import struct
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageOps, PngImagePlugin

from flow2api_gateway.generation.picture_metadata import DamagedPicture, without_metadata

SECRET = b"52.5200N 13.4050E"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + SECRET + b"</x:xmpmeta>"


def drawn() -> Image.Image:
    image = Image.radial_gradient("L").resize((96, 64))
    return Image.merge("RGB", (image, ImageOps.invert(image), ImageOps.flip(image)))


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010E] = SECRET.decode()
    tags.get_ifd(0x8825)[29] = SECRET.decode()
    tags.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return tags.tobytes()


def encoded(kind: str, **options: Any) -> bytes:
    output = io.BytesIO()
    drawn().save(output, kind, **options)
    return output.getvalue()


def with_texts() -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("GPS", SECRET.decode())
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return encoded("PNG", pnginfo=texts, exif=exif(6), icc_profile=b"colours")


TELLING = {
    "jpeg": encoded("JPEG", exif=exif(6), comment=SECRET, xmp=XMP, icc_profile=b"colours"),
    "progressive jpeg": encoded("JPEG", exif=exif(6), progressive=True, quality=98, icc_profile=b"colours"),
    "jpeg with a film behind it": encoded("JPEG", exif=exif(6), icc_profile=b"colours") + b"ftypmp42" + SECRET,
    "png": with_texts(),
    "png with a file behind it": with_texts() + SECRET,
    "webp": encoded("WEBP", exif=exif(6), xmp=XMP, icc_profile=b"colours", lossless=True),
}


@pytest.mark.parametrize("name", TELLING)
def test_the_picture_stays_and_its_story_goes(name: str) -> None:
    before = TELLING[name]
    assert SECRET in before
    after = without_metadata(before)
    assert SECRET not in after
    with Image.open(io.BytesIO(before)) as old, Image.open(io.BytesIO(after)) as new:
        assert (new.format, new.size) == (old.format, old.size)
        assert new.info["icc_profile"] == b"colours"
        assert dict(new.getexif()) == {0x0112: 6}
        assert ImageChops.difference(old.convert("RGB"), new.convert("RGB")).getbbox() is None
    assert without_metadata(after) == after


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_tells_nothing_is_left_alone(kind: str) -> None:
    assert without_metadata(encoded(kind)) == encoded(kind)


@pytest.mark.parametrize("kind", ["GIF", "BMP"])
def test_other_kinds_become_png(kind: str) -> None:
    options = {"comment": SECRET} if kind == "GIF" else {}
    after = without_metadata(encoded(kind, **options))
    assert SECRET not in after
    with Image.open(io.BytesIO(after)) as new:
        assert (new.format, new.size) == ("PNG", (96, 64))


@pytest.mark.parametrize("name", [name for name in TELLING if "behind" not in name])
def test_damaged_pictures_are_refused_whatever_is_missing(name: str) -> None:
    whole = TELLING[name]
    for length in range(12, min(len(whole), 1500), 7):
        try:
            without_metadata(whole[:length])
        except DamagedPicture:
            continue
        pytest.fail(f"{length} of {len(whole)} bytes were taken for a picture")


def test_exif_that_makes_no_sense_is_dropped() -> None:
    nonsense = struct.pack("<2sHI", b"II", 42, 0xFFFFFFF0) + SECRET
    after = without_metadata(encoded("JPEG", exif=b"Exif\0\0" + nonsense))
    assert SECRET not in after


async def test_an_uploaded_picture_reaches_the_service_without_its_place(client: httpx.AsyncClient, world: Any) -> None:
    response = await client.post(
        "/v1/images/edits",
        data={"model": "gemini-3.1-flash-image", "prompt": "the same at night"},
        files=[("image[]", TELLING["jpeg"]), ("image[]", TELLING["png"])],
    )
    assert response.status_code == 200
    pictures = [image.data for image in world.generation.image_requests[0].input_images]
    assert len(pictures) == 2
    assert all(SECRET not in data for data in pictures)
