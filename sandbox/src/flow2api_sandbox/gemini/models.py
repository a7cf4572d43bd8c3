"""Models of ``generateContent`` and ``interactions``: what each makes, in which ratios and sizes.

Source: docs/upstream/google-official.md, sections 1 and 5. The pixel sizes per ratio are those that Google documents
for the 3-series at 1K; 512, 2K and 4K are half, twice and four times of them.
"""

from dataclasses import dataclass

_TEN_RATIOS = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
}
_LONG_RATIOS = {"1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384)}
PIXELS = {**_TEN_RATIOS, **_LONG_RATIOS}
SIZE_FACTORS = {"512": 0.5, "1K": 1.0, "2K": 2.0, "4K": 4.0}

VIDEO_PIXELS = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}


@dataclass(frozen=True, slots=True)
class GeminiImageModel:
    """A model of ``generateContent``."""

    model_id: str
    display_name: str
    sizes: frozenset[str]
    ratios: frozenset[str]
    references_at_most: int
    takes_size: bool = True


@dataclass(frozen=True, slots=True)
class GeminiVideoModel:
    """A model of ``interactions``. ``references_at_most`` holds for pictures and for clips."""

    model_id: str
    display_name: str
    seconds_at_least: int
    seconds_at_most: int
    references_at_most: int
    extended_seconds_at_most: int | None = None


_TEN, _ALL = frozenset(_TEN_RATIOS), frozenset(PIXELS)
_UP_TO_4K = frozenset({"1K", "2K", "4K"})

IMAGE_MODELS = {
    model.model_id: model
    for model in (
        GeminiImageModel("gemini-3-pro-image", "Nano Banana Pro", _UP_TO_4K, _TEN, 14),
        GeminiImageModel("gemini-3.1-flash-image", "Nano Banana 2", _UP_TO_4K | {"512"}, _ALL, 14),
        GeminiImageModel("gemini-3.1-flash-lite-image", "Nano Banana 2 Lite", frozenset({"1K"}), _ALL, 14),
        GeminiImageModel("gemini-nano-banana-2.1", "Nano Banana 2.1", _UP_TO_4K, _ALL, 14),
        GeminiImageModel("gemini-2.5-flash-image", "Nano Banana", frozenset({"1K"}), _TEN, 3, takes_size=False),
    )
}
VIDEO_MODELS = {
    model.model_id: model
    for model in (
        GeminiVideoModel("gemini-omni-1.1-flash", "Omni 1.1 Flash", 3, 10, references_at_most=3),
        GeminiVideoModel(
            "gemini-omni-1.2-flash", "Omni 1.2 Flash", 3, 15, references_at_most=6, extended_seconds_at_most=30
        ),
    )
}


def pixel_size(ratio: str, size: str) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = PIXELS[ratio]
    factor = SIZE_FACTORS[size]
    return int(width * factor), int(height * factor)


def nearest_ratio(width: int, height: int) -> str:
    """The ratio that comes closest to a picture's."""
    return min(_TEN_RATIOS, key=lambda name: abs(PIXELS[name][0] / PIXELS[name][1] - width / height))
