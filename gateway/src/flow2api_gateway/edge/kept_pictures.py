"""Pictures inside of large JSON documents: taken out as the document is read, into one file of the request.

In their places in the document are names, made up when the whole document was there already: no client can write one,
and they say nothing outside of their request.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from flow2api_common.file_bytes import FileBytes, FileBytesWriter

# Shorter ones are as well left where they are.
KEPT_CHARS: Final = 64 * 1024
_PIECE_CHARS: Final = 1 << 20
_MAX_END_CHARS: Final = 1024
_DATA_URL: Final = "data:"
_STEPS: Final = re.compile(r"\[\]|[^.\[\]]+")
_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class PicturePlaces:
    """Where in a document pictures may be: paths of member names, with ``[]`` for the items of an array."""

    data_urls: tuple[str, ...] = ()
    base64: tuple[str, ...] = ()


NO_PICTURES: Final = PicturePlaces()


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """The bytes of one picture, in a part of a file that is gone with the last who knows it."""

    size_bytes: int
    _start: int = field(repr=False)
    _file: FileBytes = field(repr=False)

    async def take(self) -> bytes:
        """The bytes, as often as they are wanted. Raises OSError."""
        return await asyncio.to_thread(self._file.read_at, self._start, self.size_bytes)


_kept: ContextVar[dict[str, KeptPicture] | None] = ContextVar("kept_pictures", default=None)


@contextmanager
def keeping_pictures() -> Iterator[None]:
    """Around one request: forgets its pictures at the end."""
    kept: dict[str, KeptPicture] = {}
    token = _kept.set(kept)
    try:
        yield
    finally:
        kept.clear()
        _kept.reset(token)


def kept_picture(text: str) -> KeptPicture | None:
    """The picture that has this name in the current request; nothing for any other text."""
    return (_kept.get() or {}).get(text)


def keep_pictures(document: dict[str, Any], places: PicturePlaces) -> None:
    """Put names where large pictures are. What is not valid base64 stays as it is: whoever reads it says so.

    Blocks, as files do: for a thread. Raises OSError.
    """
    kept = _kept.get()
    if kept is None:
        return
    writer: FileBytesWriter | None = None
    written, found = 0, []
    try:
        for holder, key, start in _large_pictures(document, places):
            writer = writer or FileBytesWriter()
            begin = written
            try:
                for piece in _decoded(holder[key], start):
                    writer.write(piece)
                    written += len(piece)
            except ValueError:
                continue
            if written > begin:
                holder[key] = f"{_DATA_URL}{secrets.token_hex(16)}"
                found.append((holder[key], begin, written - begin))
        if writer is not None:
            file = writer.finish()
            kept.update({name: KeptPicture(size_bytes, begin, file) for name, begin, size_bytes in found})
    finally:
        if writer is not None:
            writer.discard()


def _large_pictures(document: dict[str, Any], places: PicturePlaces) -> Iterator[tuple[Any, str | int, int]]:
    """What holds the text of a picture, its key there, and where in the text the base64 begins."""
    for place in places.base64:
        for holder, key in _large_texts(document, _STEPS.findall(place)):
            yield holder, key, 0
    for place in places.data_urls:
        for holder, key in _large_texts(document, _STEPS.findall(place)):
            text: str = holder[key]
            comma = text.find(",", 0, KEPT_CHARS)
            if text.startswith(_DATA_URL) and comma > 0 and text[:comma].lower().endswith(";base64"):
                yield holder, key, comma + 1


def _large_texts(here: Any, steps: list[str]) -> Iterator[tuple[Any, str | int]]:
    step, *further = steps
    keys: Iterator[str | int]
    if step == "[]":
        keys = iter(range(len(here) if isinstance(here, list) else 0))
    else:
        keys = iter((step,) if isinstance(here, dict) and step in here else ())
    for key in keys:
        if further:
            yield from _large_texts(here[key], further)
        elif isinstance(here[key], str) and len(here[key]) >= KEPT_CHARS:
            yield here, key


def _decoded(text: str, start: int) -> Iterator[bytes]:
    """The bytes in pieces, as `decode_base64` gives them in one. Raises ValueError."""
    end = len(text)
    while end > start and (text[end - 1] == "=" or text[end - 1].isspace()):
        end -= 1
        if len(text) - end > _MAX_END_CHARS:
            raise ValueError("an end too long to be one")
    rest = b""
    for at in range(start, end, _PIECE_CHARS):
        raw = rest + "".join(text[at : min(at + _PIECE_CHARS, end)].split()).encode("ascii")
        if b"=" in raw:
            raise ValueError("an end in the middle")
        whole = len(raw) - len(raw) % 4
        yield base64.b64decode(raw[:whole].translate(_STANDARD_ALPHABET), validate=True)
        rest = raw[whole:]
    yield base64.b64decode(rest.translate(_STANDARD_ALPHABET) + b"=" * (-len(rest) % 4), validate=True)
