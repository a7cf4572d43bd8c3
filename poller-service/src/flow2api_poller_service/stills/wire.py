"""What the two ends of the pipes say to each other.

The poller begins with the size of a clip (``CLIP``). The decoder asks for pieces of it (``READ``), each answered by
exactly those bytes, and ends with one JSON object (``DONE``), after which the thumbnail and the sheet follow.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

CLIP: Final = struct.Struct(">Q")
REPLY: Final = struct.Struct(">BQQ")
"""``READ``, where it begins, how many bytes; or ``DONE``, the length of the JSON object, nothing."""
READ: Final = 1
DONE: Final = 2

MAX_READ_BYTES: Final = 1024 * 1024
MAX_ACCOUNT_BYTES: Final = 4096
MAX_STILL_BYTES: Final = 4 * 1024 * 1024
"""A sheet has some hundred kilobytes."""


class Playability(StrEnum):
    """Whether a clip can be shown: nobody knows where this program has no decoder for it."""

    PLAYABLE = "playable"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Still:
    """An encoded picture; sides are pixels."""

    data: bytes = field(repr=False)
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Stills:
    """What was found in a clip. A clip that plays may still lack pictures."""

    playability: Playability
    thumbnail: Still | None = None
    spritesheet: Still | None = None


def account_of(stills: Stills) -> bytes:
    """The JSON object that announces the result."""
    sizes = [
        {"width": still.width, "height": still.height, "size_bytes": len(still.data)} if still else None
        for still in (stills.thumbnail, stills.spritesheet)
    ]
    return json.dumps({"playability": stills.playability, "stills": sizes}).encode()


def read_account(account: bytes) -> tuple[Playability, list[tuple[int, int, int] | None]]:
    """Playability, then width, height and bytes of the thumbnail and of the sheet. Raises ValueError."""
    try:
        document = json.loads(account)
        playability = Playability(document["playability"])
        numbers = [
            (int(each["width"]), int(each["height"]), int(each["size_bytes"])) if each else None
            for each in document["stills"]
        ]
    except (KeyError, TypeError) as error:
        raise ValueError("no account of stills") from error
    if len(numbers) != 2 or not all(_is_sound(each) for each in numbers):
        raise ValueError("no account of stills")
    return playability, numbers


def _is_sound(numbers: tuple[int, int, int] | None) -> bool:
    return numbers is None or all(0 < each <= MAX_STILL_BYTES for each in numbers)
