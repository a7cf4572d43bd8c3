"""Pictures in another format than the one that is stored."""

from __future__ import annotations

import asyncio
import io
import re
from dataclasses import dataclass
from typing import Final

from PIL import Image

from flow2api_common.errors import InternalError

_MIME: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_NAMES: Final = {mime: name for name, mime in _MIME.items()}
_VARIANT = re.compile(r"(png|jpeg|webp)-(\d{1,3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A format to convert to; ``quality`` is 0 to 100, without meaning for PNG."""

    name: str
    quality: int = 100

    @property
    def content_type(self) -> str:
        """Its MIME type."""
        return _MIME[self.name]

    @property
    def variant(self) -> str:
        """Its name inside a link."""
        return f"{self.name}-{self.quality}"


def format_of(content_type: str) -> str:
    """``png`` of ``image/png``; the subtype for formats that we do not make."""
    return _NAMES.get(content_type, content_type.rpartition("/")[2])


def parse_variant(variant: str) -> PictureFormat | None:
    """The format that a link names; nothing for the stored file itself or an unknown name."""
    match = _VARIANT.fullmatch(variant)
    return PictureFormat(match[1], int(match[2])) if match else None


async def convert_picture(content: bytes, wanted: PictureFormat) -> bytes:
    """The same picture in another format, made in a thread. Raises InternalError when it cannot be read or written."""
    try:
        return await asyncio.to_thread(_convert, content, wanted)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as exc:
        raise InternalError("A stored picture cannot be converted.") from exc


def _convert(content: bytes, wanted: PictureFormat) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        flat = _opaque(picture) if wanted.name == "jpeg" else picture
        output = io.BytesIO()
        if wanted.name == "png":
            flat.save(output, "PNG")
        else:
            flat.save(output, wanted.name.upper(), quality=max(1, wanted.quality))
        return output.getvalue()


def _opaque(picture: Image.Image) -> Image.Image:
    """JPEG has no transparency: what is transparent becomes white."""
    if picture.mode in ("RGB", "L", "CMYK"):
        return picture
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
