"""Base64 inside a JSON answer, decoded while it comes."""

import base64
import binascii
import re
from collections.abc import AsyncIterator

_ESCAPES = {b"\\/": b"/", b"\\u003d": b"=", b"\\u003D": b"=", b"\\u002b": b"+", b"\\u002B": b"+", b"\\u002f": b"/"}
_ESCAPE = re.compile(rb"\\(?:u00(?:3[dD]|2[bBfF])|/)")
_LONGEST_ESCAPE = 6
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


class NoSuchMember(Exception):
    """The answer ended without the member."""


async def decoded_member(chunks: AsyncIterator[bytes], name: str) -> AsyncIterator[bytes]:
    """The bytes of the string member ``name``, wherever in the answer it is, in constant memory.

    Standard and URL-safe base64 are read. Raises NoSuchMember if it is not there or empty, ValueError if it is damaged
    or cut off.
    """
    opening = re.compile(rb'"' + name.encode() + rb'"\s*:\s*"')
    tail_length = len(name) + 64
    pending = b""
    is_inside = False
    has_data = False
    async for chunk in chunks:
        pending += chunk
        if not is_inside:
            match = opening.search(pending)
            if match is None:
                pending = pending[-tail_length:]
                continue
            pending = pending[match.end() :]
            is_inside = True
        text, closing, _ = pending.partition(b'"')
        usable, pending = (text, b"") if closing else _split_usable(text)
        data = _decode(usable)
        if data:
            has_data = True
            yield data
        if closing:
            if not has_data:
                raise NoSuchMember(name)
            return
    if is_inside:
        raise ValueError("the base64 text is cut off")
    raise NoSuchMember(name)


def _split_usable(text: bytes) -> tuple[bytes, bytes]:
    """What can be decoded now, and the rest: an escape that may be incomplete, and what lacks to a group of four."""
    backslash = text.rfind(b"\\", max(0, len(text) - _LONGEST_ESCAPE + 1))
    end = len(text) if backslash < 0 or _ESCAPE.match(text, backslash) else backslash
    clean = _ESCAPE.sub(lambda match: _ESCAPES.get(match[0], b"/"), text[:end])
    whole = len(clean) - len(clean) % 4
    return clean[:whole], clean[whole:] + text[end:]


def _decode(text: bytes) -> bytes:
    clean = _ESCAPE.sub(lambda match: _ESCAPES.get(match[0], b"/"), text).translate(_URL_SAFE)
    try:
        return base64.b64decode(clean, validate=True)
    except binascii.Error as exc:
        raise ValueError("the base64 text is damaged") from exc
