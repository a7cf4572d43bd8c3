"""Sizes, ratios, qualities and lengths as clients write them, read into what the generation-service takes.

Source: docs/upstream/flow.md, section 14; docs/upstream/openai.md, sections 6 to 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flow2api_common.errors import InvalidArgument
from flow2api_proto.generation.v1 import media_pb2

_SIZE = re.compile(r"(\d{1,5})\s*[xX×]\s*(\d{1,5})", re.ASCII)  # noqa: RUF001 - people do write the multiplication sign.
_RATIO = re.compile(r"(\d{1,3}):(\d{1,3})", re.ASCII)
_MIN_SIDE: Final = 16
_MAX_SIDE: Final = 8192
_MAX_SIDE_RATIO: Final = 10
_MAX_SECONDS: Final = 3600

_RATIO_WORDS: Final = {
    "landscape": "landscape",
    "portrait": "portrait",
    "square": "square",
    "four-three": "4:3",
    "four_three": "4:3",
    "three-four": "3:4",
    "three_four": "3:4",
}
# Words of OpenAI and of the original for how good a picture shall be, as steps of resolution.
_QUALITY_STEPS: Final = {
    "auto": "",
    "low": "1K",
    "standard": "1K",
    "medium": "2K",
    "high": "4K",
    "hd": "4K",
    "ultra": "4K",
    "xhigh": "4K",
    "max": "4K",
}
_RESOLUTION_ORDER: Final = ("1k", "720p", "2k", "1080p", "4k")


@dataclass(frozen=True, slots=True)
class PixelSize:
    """A size in pixels that a client asked for."""

    width: int
    height: int

    def to_proto(self) -> media_pb2.Dimensions:
        """The same for the wire."""
        return media_pb2.Dimensions(width=self.width, height=self.height)


def parse_size(text: str | None) -> PixelSize | None:
    """``1024x1024``; nothing for nothing and for ``auto``. Raises InvalidArgument on ``size``."""
    if text is None or text.strip().lower() in ("", "auto"):
        return None
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise _bad_size(text)
    size = PixelSize(int(match[1]), int(match[2]))
    short, long = sorted((size.width, size.height))
    if short < _MIN_SIDE or long > _MAX_SIDE or long > short * _MAX_SIDE_RATIO:
        raise _bad_size(text)
    return size


def parse_aspect_ratio(text: str | None) -> str:
    """``16:9`` or a word; empty for nothing and for ``auto``. Raises InvalidArgument on ``aspect_ratio``."""
    ratio = (text or "").strip().lower()
    if ratio in ("", "auto"):
        return ""
    if ratio in _RATIO_WORDS:
        return _RATIO_WORDS[ratio]
    match = _RATIO.fullmatch(ratio)
    if match is None or 0 in (int(match[1]), int(match[2])):
        raise InvalidArgument.of(
            "aspect_ratio", f"Invalid value '{_short(text)}'. Use a ratio such as '16:9', or 'landscape' or 'portrait'."
        )
    return ratio


def parse_seconds(value: str | float | None, offered: Sequence[int] = ()) -> int:
    """A clip length in whole seconds; 0 for nothing. Raises InvalidArgument on ``seconds``, telling what is offered."""
    if value is None or value == "":
        return 0
    if not str(value).isascii():
        raise _bad_seconds(value, offered)
    try:
        seconds = float(value)
    except ValueError as exc:
        raise _bad_seconds(value, offered) from exc
    if not 1 <= seconds <= _MAX_SECONDS or seconds != int(seconds):
        raise _bad_seconds(value, offered)
    return int(seconds)


def parse_count(count: int | None, *, most: int = 10) -> int:
    """How many to make. Raises InvalidArgument on ``n``."""
    if count is None:
        return 1
    if not 1 <= count <= most:
        allowed = f"between 1 and {most}" if most > 1 else "1 for this model"
        raise InvalidArgument.of("n", f"Invalid value {count}: 'n' must be {allowed}.")
    return count


def parse_quality(quality: str | None) -> str:
    """The resolution step of a quality word; empty for ``auto``. Raises InvalidArgument on ``quality``."""
    word = (quality or "auto").strip().lower()
    if word.upper() in ("1K", "2K", "4K"):
        return word.upper()
    if word not in _QUALITY_STEPS:
        raise InvalidArgument.of(
            "quality", f"Invalid value '{_short(quality)}'. Supported values are: {', '.join(_QUALITY_STEPS)}."
        )
    return _QUALITY_STEPS[word]


def parse_resolution(text: str | None, *, param: str) -> str:
    """``2K``, ``1080p`` and the like in any case; empty for nothing. Raises InvalidArgument on ``param``."""
    word = (text or "").strip().lower()
    if word in ("", "auto"):
        return ""
    if word not in _RESOLUTION_ORDER:
        raise InvalidArgument.of(param, f"Invalid value '{_short(text)}'. Use 1K, 2K or 4K, or 720p, 1080p or 4k.")
    return word


def image_step_of(size: PixelSize | None) -> str:
    """The resolution step that a size in pixels means: the usual 1K sizes of OpenAI go up to 1792 on the long side."""
    if size is None:
        return ""
    long = max(size.width, size.height)
    if long > 2816:
        return "4k"
    return "2k" if long > 1792 else ""


def video_step_of(size: PixelSize | None) -> str:
    """The resolution step that a size in pixels means, by its short side."""
    if size is None:
        return ""
    short = min(size.width, size.height)
    if short >= 2160:
        return "4k"
    return "1080p" if short >= 1080 else ""


def nearest_resolution(wanted: str, offered: Sequence[str]) -> str:
    """The best of the ``offered`` resolutions not above the one wanted; empty (the model's default) if none."""
    if not wanted:
        return ""
    limit = _RESOLUTION_ORDER.index(wanted.lower())
    fitting = [
        name for name in offered if name.lower() in _RESOLUTION_ORDER and _RESOLUTION_ORDER.index(name.lower()) <= limit
    ]
    return max(fitting, key=lambda name: _RESOLUTION_ORDER.index(name.lower()), default="")


def exact_resolution(wanted: str, offered: Sequence[str], *, param: str) -> str:
    """The ``offered`` resolution that was named, in the model's spelling. Raises InvalidArgument on ``param``."""
    if not wanted:
        return ""
    for name in offered:
        if name.lower() == wanted.lower():
            return name
    raise InvalidArgument.of(
        param, f"The model does not make '{wanted}'. It makes: {', '.join(offered) or 'its one size'}."
    )


def check_seed(seed: int | None) -> None:
    """Raises InvalidArgument on ``seed`` unless it fits the wire."""
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise InvalidArgument.of("seed", "The seed is out of range.")


def _bad_size(text: str) -> InvalidArgument:
    return InvalidArgument.of("size", f"Invalid size '{_short(text)}'. Use 'auto' or a size such as '1024x1024'.")


def _bad_seconds(value: object, offered: Sequence[int]) -> InvalidArgument:
    wanted = f"The model has: {', '.join(map(str, sorted(offered)))}." if offered else "Use a whole number of seconds."
    return InvalidArgument.of("seconds", f"Invalid value '{_short(str(value))}'. {wanted}")


def _short(text: str | None) -> str:
    return (text or "")[:40]
