"""JSON with long texts in it, read in constant memory: the texts are cut to a mark, the rest is kept."""

import json
import re
from collections.abc import AsyncIterator

CUT = "..."
"""Stands in the place of a text that was too long."""

_LONGEST_TEXT = 64 * 1024
_LONGEST_REST = 4 * 1024 * 1024
_IN_TEXT = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["{}\[\]]')
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


async def shortened_json(chunks: AsyncIterator[bytes], *, ends_at_long_text: bool = False) -> object:
    """The value, with `CUT` for each text of more than 64 KiB.

    With ``ends_at_long_text`` nothing is read behind the first such text: what would follow is missing from the value.
    Raises ValueError when it is no JSON, or large without them.
    """
    shortener = _Shortener(ends_at_long_text=ends_at_long_text)
    async for chunk in chunks:
        if shortener.feed(chunk):
            break
    return json.loads(shortener.kept)


class _Shortener:
    def __init__(self, *, ends_at_long_text: bool) -> None:
        self.kept = bytearray()
        self._ends_at_long_text = ends_at_long_text
        self._open = bytearray()
        self._text_start: int | None = None
        self._is_long = False
        self._is_escaped = False

    def feed(self, data: bytes) -> bool:
        """Take a piece in; tells whether no more is wanted."""
        at = 0
        while at < len(data):
            at = self._outside(data, at) if self._text_start is None else self._inside(data, at)
            if self._is_long and self._ends_at_long_text:
                self.kept += b'"' + bytes(reversed(self._open))
                return True
        if len(self.kept) > _LONGEST_REST:
            raise ValueError("too large")
        return False

    def _outside(self, data: bytes, at: int) -> int:
        match = _OUTSIDE.search(data, at)
        end = match.end() if match else len(data)
        self.kept += data[at:end]
        if match is not None:
            byte = data[end - 1]
            if byte == ord('"'):
                self._text_start = len(self.kept)
            elif byte in _CLOSING:
                self._open.append(_CLOSING[byte])
            elif self._open:
                self._open.pop()
        return end

    def _inside(self, data: bytes, at: int) -> int:
        if self._is_escaped:
            self._is_escaped = False
            self._keep(data[at : at + 1])
            return at + 1
        match = _IN_TEXT.search(data, at)
        self._keep(data[at : match.start() if match else len(data)])
        if match is None:
            return len(data)
        if data[match.start()] == ord('"'):
            self._text_start, self._is_long = None, False
            self.kept += b'"'
        else:
            self._is_escaped = True
            self._keep(b"\\")
        return match.end()

    def _keep(self, text: bytes) -> None:
        if self._is_long or self._text_start is None:
            return
        self.kept += text
        if len(self.kept) - self._text_start > _LONGEST_TEXT:
            del self.kept[self._text_start :]
            self.kept += CUT.encode()
            self._is_long = True
