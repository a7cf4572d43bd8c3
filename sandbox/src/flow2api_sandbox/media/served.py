"""A file as it is sent: its content, and padding after it that exists only while it is on its way.

A padded MP4 plays as before: the padding is one ``free`` box, which players skip (ISO/IEC 14496-12, section 8.1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BOX_HEADER_BYTES: Final = 8
LARGEST_BOX_BYTES: Final = 0xFFFF_FFFF
PIECE_BYTES: Final = 256 * 1024

# Repeats itself at a length that no piece and no part of an upload has, so that pieces in a wrong order show.
_PATTERN: Final = bytes(range(251)) * (PIECE_BYTES // 251 + 2)


@dataclass(frozen=True, slots=True)
class SentFile:
    """The bytes of ``content``, then of a ``free`` box up to ``size_bytes``. Ranges of it cost what is read of them."""

    content: bytes = field(repr=False)
    size_bytes: int

    @classmethod
    def plain(cls, content: bytes) -> SentFile:
        """The content alone."""
        return cls(content, len(content))

    @classmethod
    def padded(cls, content: bytes, at_least_bytes: int) -> SentFile:
        """The content of an MP4 file, with padding where it is smaller; the smallest padding is a box's header."""
        if len(content) >= at_least_bytes:
            return cls.plain(content)
        return cls(content, max(at_least_bytes, len(content) + BOX_HEADER_BYTES))

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to before ``end``, a quarter of a mebibyte at a time."""
        while start < end:
            piece = self._piece(start, min(end, start + PIECE_BYTES))
            yield piece
            start += len(piece)

    def _piece(self, start: int, end: int) -> bytes:
        padding_at = len(self.content)
        if start < padding_at:
            return self.content[start : min(end, padding_at)]
        header = (self.size_bytes - padding_at).to_bytes(4, "big") + b"free"
        offset = start - padding_at
        if offset < BOX_HEADER_BYTES:
            return header[offset : offset + end - start]
        phase = (offset - BOX_HEADER_BYTES) % 251
        return _PATTERN[phase : phase + end - start]
