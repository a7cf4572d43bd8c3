"""Aspect ratios: what clients may write, and the nearest one to a size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flow2api_common.errors import InvalidArgument

LARGEST_SIDE_PIXELS = 8192

# docs/upstream/flow.md, section 14.
_WORDS = {
    "landscape": "16:9",
    "portrait": "9:16",
    "square": "1:1",
    "four-three": "4:3",
    "three-four": "3:4",
}
_LARGEST_TERM = 100


def ratio_of(text: str) -> str | None:
    """The ratio that a client means by ``16:9``, ``landscape`` and the like; None where nothing was given.

    Upper case, underscores and spaces do not matter. Raises InvalidArgument for ``aspect_ratio``.
    """
    word = text.strip().lower().replace("_", "-")
    if not word or word == "auto":
        return None
    if word in _WORDS:
        return _WORDS[word]
    width, separator, height = word.partition(":")
    if not separator or not _is_term(width.strip()) or not _is_term(height.strip()):
        known = ", ".join(_WORDS)
        raise InvalidArgument.of(
            "aspect_ratio", f"An aspect ratio is written like 16:9, or is one of {known}; not {text[:40]!r}."
        )
    return f"{int(width)}:{int(height)}"


def check_size(width: int, height: int) -> None:
    """Raises InvalidArgument for ``size`` unless both sides are 1 to 8192 pixels."""
    if not (0 < width <= LARGEST_SIDE_PIXELS and 0 < height <= LARGEST_SIDE_PIXELS):
        raise InvalidArgument.of(
            "size", f"Both sides of a size are between 1 and {LARGEST_SIDE_PIXELS} pixels, not {width}x{height}."
        )


def nearest_ratio(width: int, height: int, ratios: Sequence[str]) -> str:
    """The ratio whose shape is nearest; of equally near ones the first."""
    wanted = math.log(width / height)
    return min(ratios, key=lambda ratio: abs(_log_of(ratio) - wanted))


def _is_term(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= _LARGEST_TERM


def _log_of(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return math.log(int(width) / int(height))
