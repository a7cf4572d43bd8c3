"""What a clip says about itself, read from its bytes as they stream by.

An MP4 file is a row of boxes, each a 32-bit length and a four-letter type (ISO/IEC 14496-12, section 4.2). Only the
small ``moov`` box is kept; the pictures and the sound in ``mdat`` are counted and forgotten, so that memory stays
constant whatever the length of the clip.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_MOOV_BYTES: Final = 8 * 1024 * 1024
"""The index of a clip of a minute has some hundred kilobytes; one above this is not read."""

_SHORT_HEADER: Final = 8
_LONG_HEADER: Final = 16
_QUARTER_TURN_MATRIX: Final = struct.Struct(">ii")


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """Picture size in pixels and length in milliseconds; zeros where the file does not tell."""

    width: int = 0
    height: int = 0
    duration_ms: int = 0


class NotAClip(Exception):
    """The bytes are no MP4 file, or only the beginning of one."""


class ClipInspector:
    """Takes the bytes of one file in order, in pieces of any size; ``finish`` answers what was found."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._moov = bytearray()
        self._box_type = b""
        self._box_remaining = 0
        self._endless = False
        self._seen: set[bytes] = set()

    def feed(self, chunk: bytes) -> None:
        """Read on. Raises NotAClip at the first bytes that cannot belong to an MP4 file."""
        view = memoryview(chunk)
        while view:
            if self._endless:
                return
            view = self._consume_payload(view) if self._box_remaining else self._consume_header(view)

    def finish(self) -> ClipFacts:
        """What the file says. Raises NotAClip when it ended too early or has no index or no content."""
        if self._header or self._box_remaining:
            raise NotAClip("The clip ends in the middle of a box.")
        if not {b"moov", b"mdat"} <= self._seen:
            raise NotAClip("The clip has no index or no content.")
        try:
            return _read_moov(bytes(self._moov))
        except (struct.error, IndexError, ValueError):
            return ClipFacts()

    def _consume_header(self, view: memoryview) -> memoryview:
        wanted = _SHORT_HEADER
        if len(self._header) >= _SHORT_HEADER and self._header[:4] == b"\x00\x00\x00\x01":
            wanted = _LONG_HEADER
        taken = wanted - len(self._header)
        self._header += view[:taken]
        if len(self._header) == wanted and not (wanted == _SHORT_HEADER and self._header[:4] == b"\x00\x00\x00\x01"):
            self._begin_box(wanted)
        return view[taken:]

    def _begin_box(self, header_bytes: int) -> None:
        size = int.from_bytes(self._header[8:16] if header_bytes == _LONG_HEADER else self._header[:4], "big")
        self._box_type = bytes(self._header[4:8])
        self._header.clear()
        if not self._seen and self._box_type != b"ftyp":
            raise NotAClip("The file is not an MP4 file.")
        if size == 0:  # The last box may reach to the end of the file without naming its length.
            self._endless = True
        elif size < header_bytes:
            raise NotAClip("The clip has a box of an impossible length.")
        else:
            self._box_remaining = size - header_bytes
        self._seen.add(self._box_type)

    def _consume_payload(self, view: memoryview) -> memoryview:
        piece = view[: self._box_remaining]
        if self._box_type == b"moov" and len(self._moov) + len(piece) <= MAX_MOOV_BYTES:
            self._moov += piece
        self._box_remaining -= len(piece)
        return view[len(piece) :]


def _read_moov(moov: bytes) -> ClipFacts:
    duration_ms = width = height = 0
    for box_type, payload in _children(moov):
        if box_type == b"mvhd":
            duration_ms = _duration_ms(payload)
        elif box_type == b"trak" and not width:
            width, height = _picture_size(payload)
    return ClipFacts(width=width, height=height, duration_ms=duration_ms)


def _children(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + _SHORT_HEADER <= len(payload):
        size, box_type = struct.unpack_from(">I4s", payload, position)
        header_bytes = _SHORT_HEADER
        if size == 1:
            (size,) = struct.unpack_from(">Q", payload, position + _SHORT_HEADER)
            header_bytes = _LONG_HEADER
        elif size == 0:
            size = len(payload) - position
        if size < header_bytes:
            raise ValueError(size)
        yield box_type, payload[position + header_bytes : position + size]
        position += size


def _duration_ms(mvhd: bytes) -> int:
    # Version 1 has 64-bit times (ISO/IEC 14496-12, section 8.2.2).
    timescale, duration = struct.unpack_from(">IQ", mvhd, 20) if mvhd[0] == 1 else struct.unpack_from(">II", mvhd, 12)
    unknown = 0xFFFFFFFFFFFFFFFF if mvhd[0] == 1 else 0xFFFFFFFF
    return 0 if not timescale or duration == unknown else round(duration * 1000 / timescale)


def _picture_size(trak: bytes) -> tuple[int, int]:
    """Width and height of a picture track, after its rotation; zeros for any other track."""
    header = b""
    is_picture = False
    for box_type, payload in _children(trak):
        if box_type == b"tkhd":
            header = payload
        elif box_type == b"mdia":
            is_picture = any(t == b"hdlr" and p[8:12] == b"vide" for t, p in _children(payload))
    if not is_picture or not header:
        return 0, 0
    matrix_at = 52 if header[0] == 1 else 40
    first, second = _QUARTER_TURN_MATRIX.unpack_from(header, matrix_at)
    width, height = (value >> 16 for value in struct.unpack_from(">II", header, matrix_at + 36))
    return (height, width) if first == 0 and second != 0 else (width, height)
