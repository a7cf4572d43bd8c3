"""Request bodies: small ones as bytes, and those with large pictures inside as parts that are read while they are sent.

A picture of 10 MB inside JSON would be in memory as base64, as text, and as the body; here its base64 exists in pieces
of some kilobytes, for the moment in which they are sent.
"""

import base64
import io
import json
import secrets
from collections.abc import Sequence
from typing import Protocol

from flow2api_common.file_bytes import FileBytes

_BYTES_PER_GROUP = 3
_CHARS_PER_GROUP = 4


class Base64Text:
    """Stands in a JSON value for the base64 of a picture, standard and with padding."""

    def __init__(self, content: bytes | FileBytes) -> None:
        self._content = content

    def __len__(self) -> int:
        return -(-len(self._content) // _BYTES_PER_GROUP) * _CHARS_PER_GROUP

    def read_at(self, start: int, size: int) -> bytes:
        """At most ``size`` characters from there on; fewer only at the end."""
        first = start // _CHARS_PER_GROUP
        groups = -(-(start + size) // _CHARS_PER_GROUP) - first
        text = base64.b64encode(_read_at(self._content, first * _BYTES_PER_GROUP, groups * _BYTES_PER_GROUP))
        skipped = start - first * _CHARS_PER_GROUP
        return text[skipped : skipped + size]


class StreamedBody:
    """A body that is never in memory as a whole."""

    def __init__(self, parts: Sequence[bytes | FileBytes | Base64Text]) -> None:
        self._parts = [part for part in parts if len(part)]

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    def __repr__(self) -> str:
        return f"StreamedBody({len(self)} bytes)"

    def read_at(self, start: int, size: int) -> bytes:
        """At most ``size`` bytes from there on, fewer also at the end of a part; none only at the end of all."""
        for part in self._parts:
            if start < len(part):
                return _read_at(part, start, min(size, len(part) - start))
            start -= len(part)
        return b""

    def reader(self) -> "BodyReader":
        """The body from its beginning, for one sending."""
        return BodyReader(self)


class BodyReader:
    """A body with a position, as libcurl reads it, and seeks in it when a kept connection proves dead."""

    def __init__(self, body: StreamedBody) -> None:
        self._body = body
        self._position = 0

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._position

    def seek(self, offset: int, origin: int = io.SEEK_SET) -> int:
        """Move to a position, and give it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._body)}[origin]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int) -> bytes:
        """The next bytes; none at the end."""
        data = self._body.read_at(self._position, size)
        self._position += len(data)
        return data


def json_body(value: object) -> bytes | StreamedBody:
    """Compact JSON in UTF-8; a streamed one when there is a `Base64Text` in it."""
    texts: list[Base64Text] = []
    # Nobody can guess it, so that it stands nowhere else.
    mark = secrets.token_hex(16)

    def stand_in(found: object) -> str:
        if not isinstance(found, Base64Text):
            raise TypeError(f"no JSON: {type(found).__name__}")
        texts.append(found)
        return mark

    written = json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=stand_in)
    if not texts:
        return written.encode()
    pieces = written.split(mark)
    parts: list[bytes | FileBytes | Base64Text] = [pieces[0].encode()]
    for text, piece in zip(texts, pieces[1:], strict=True):
        parts += [text, piece.encode()]
    return StreamedBody(parts)


class _Readable(Protocol):
    def read_at(self, start: int, size: int, /) -> bytes: ...


def _read_at(content: bytes | _Readable, start: int, size: int) -> bytes:
    return content[start : start + size] if isinstance(content, bytes) else content.read_at(start, size)
