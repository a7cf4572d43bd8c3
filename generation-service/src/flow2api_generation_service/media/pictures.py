"""Looking at pictures: what they really are, and whether they are whole."""

from __future__ import annotations

import asyncio
import io
import warnings
from dataclasses import dataclass, field
from typing import Final

from PIL import Image

from flow2api_common.media_types import image_mime_type

MAX_PIXELS: Final = 100_000_000

_FORMATS: Final = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/bmp": "BMP",
    "image/jp2": "JPEG2000",
}
# docs/upstream/flow.md, section 6: the others are better re-encoded first.
SAFE_INPUTS: Final = frozenset({"image/png", "image/jpeg", "image/webp"})


class NotAPicture(Exception):
    """The bytes are no whole picture of a kind that we take; the message says which, for people."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole picture. ``content_type`` is by its bytes; sides are pixels."""

    data: bytes = field(repr=False)
    content_type: str
    width: int
    height: int


async def look_at(data: bytes) -> Picture:
    """What a picture is. Decoding happens in a thread. Raises NotAPicture."""
    return await asyncio.to_thread(_look_at, data)


async def as_input(picture: Picture) -> Picture:
    """The picture in a form that every upstream takes: PNG, JPEG and WebP stay, others become PNG."""
    if picture.content_type in SAFE_INPUTS:
        return picture
    return await asyncio.to_thread(_to_png, picture)


def _look_at(data: bytes) -> Picture:
    content_type = image_mime_type(data)
    if content_type is None:
        raise NotAPicture("The file is not a PNG, JPEG, WebP, GIF, BMP or JPEG 2000 picture.")
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[_FORMATS[content_type]]) as image:
                width, height = image.size
                _check_whole(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise NotAPicture("The picture is damaged or cut off.") from exc
    return Picture(data=data, content_type=content_type, width=width, height=height)


def _check_whole(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise NotAPicture(f"The picture has more than {MAX_PIXELS // 1_000_000} million pixels.")
    if image.format == "PNG":
        # Reads every chunk and its checksum up to the last one, without decoding.
        image.verify()
        return
    if image.format == "JPEG":
        # An eighth of the size decodes several times faster and still reads to the end.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
    image.load()


def _to_png(picture: Picture) -> Picture:
    with Image.open(io.BytesIO(picture.data), formats=[_FORMATS[picture.content_type]]) as image:
        out = io.BytesIO()
        image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, format="PNG")
    return Picture(data=out.getvalue(), content_type="image/png", width=picture.width, height=picture.height)
