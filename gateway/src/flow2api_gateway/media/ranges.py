"""The Range header: one range of bytes out of a file. Source: RFC 9110, section 14."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_RANGE = re.compile(r"^bytes=\s*(\d{0,19})-(\d{0,19})\s*$")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """From ``start`` up to and without ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Bytes in it."""
        return self.end - self.start


class RangeNotSatisfiable(Exception):
    """Nothing of the file lies in the range."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The range asked for; nothing when the whole file is to be sent: no header, several ranges, or not understood.

    Raises RangeNotSatisfiable.
    """
    match = _ONE_RANGE.match(header) if header else None
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise RangeNotSatisfiable
        return ByteRange(size - length, size)
    start = int(match[1])
    if match[2] and int(match[2]) < start:
        return None
    if start >= size:
        raise RangeNotSatisfiable
    end = min(int(match[2]) + 1, size) if match[2] else size
    return ByteRange(start, end)
