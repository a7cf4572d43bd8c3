"""Base64 texts: pictures on their way up, and whole ones that came, large ones off the event loop."""

import asyncio
import base64
import binascii

from flow2api_upstream.http_body import Base64Text
from flow2api_upstream.port import SourceImage

_LARGE_BYTES = 128 * 1024
_URL_SAFE = str.maketrans("-_", "+/")


def encode_image(image: SourceImage) -> str | Base64Text:
    """Standard base64 with padding, for a member of `json_body`; of a large picture it is made while it is sent."""
    text = Base64Text(image.data)
    return text if len(text) > _LARGE_BYTES else text.read_at(0, len(text)).decode("ascii")


async def decode_text(text: str) -> bytes:
    """The bytes of standard or URL-safe base64, padded or not. Raises ValueError if it is neither, or empty."""
    if len(text) > _LARGE_BYTES:
        return await asyncio.to_thread(_decode, text)
    return _decode(text)


def _decode(text: str) -> bytes:
    padded = text.translate(_URL_SAFE) + "=" * (-len(text) % 4)
    try:
        data = base64.b64decode(padded, validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64") from exc
    if not data:
        raise ValueError("empty")
    return data
