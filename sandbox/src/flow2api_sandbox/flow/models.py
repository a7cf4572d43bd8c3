"""The models that Flow knows: which calls take them, for whom, and what they cost.

Sources: docs/upstream/flow.md, sections 4 (prices, tiers), 7 (image models), 14 and 15 (video keys).
"""

from dataclasses import dataclass
from enum import StrEnum

from flow2api_sandbox.accounts import Tier


class SubmitKind(StrEnum):
    """The video submits, by the last word of their path."""

    TEXT = "Text"
    START = "StartImage"
    START_END = "StartAndEndImage"
    REFERENCE = "ReferenceImages"
    EXTEND = "ExtendVideo"
    UPSAMPLE = "UpsampleVideo"


class Family(StrEnum):
    """What decides price and duration of a clip."""

    FAST = "fast"
    QUALITY = "quality"
    LITE = "lite"
    RELAXED = "relaxed"
    OMNI = "omni"
    EXTEND = "extend"
    UPSAMPLE_1080P = "upsample_1080p"
    UPSAMPLE_4K = "upsample_4k"


LANDSCAPE = "VIDEO_ASPECT_RATIO_LANDSCAPE"
PORTRAIT = "VIDEO_ASPECT_RATIO_PORTRAIT"

_EVERYBODY = frozenset(Tier)
_BELOW_ULTRA = frozenset({Tier.NOT_PAID, Tier.ONE})
_ULTRA = frozenset({Tier.TWO})
_PAID = frozenset({Tier.ONE, Tier.TWO})


@dataclass(frozen=True, slots=True)
class VideoModel:
    """One video key. ``aspect_ratio`` is absent when the key makes both orientations."""

    key: str
    kinds: frozenset[SubmitKind]
    family: Family
    seconds: int = 8
    aspect_ratio: str | None = None
    tiers: frozenset[Tier] = _EVERYBODY

    def price(self, tier: Tier) -> int:
        """Credits for one clip."""
        if self.family is Family.OMNI:
            return OMNI_PRICES[self.seconds]
        ordinary, ultra = PRICES[self.family]
        return ultra if tier is Tier.TWO else ordinary


# Credits per clip: ordinary, on Ultra.
PRICES = {
    Family.FAST: (20, 10),
    Family.QUALITY: (100, 100),
    Family.LITE: (10, 5),
    Family.RELAXED: (0, 0),
    Family.EXTEND: (20, 10),
    Family.UPSAMPLE_1080P: (0, 0),
    Family.UPSAMPLE_4K: (50, 50),
}
OMNI_PRICES = {4: 15, 6: 20, 8: 25, 10: 30}


def _row(
    key: str,
    kinds: tuple[SubmitKind, ...],
    family: Family,
    *,
    seconds: int = 8,
    aspect_ratio: str | None = None,
    tiers: frozenset[Tier] = _EVERYBODY,
) -> VideoModel:
    return VideoModel(key, frozenset(kinds), family, seconds, aspect_ratio, tiers)


def _with_ultra(key: str, ultra_key: str, kinds: tuple[SubmitKind, ...], aspect_ratio: str) -> list[VideoModel]:
    return [
        _row(key, kinds, Family.FAST, aspect_ratio=aspect_ratio, tiers=_BELOW_ULTRA),
        _row(ultra_key, kinds, Family.FAST, aspect_ratio=aspect_ratio, tiers=_ULTRA),
    ]


def _relaxed(key: str, kinds: tuple[SubmitKind, ...], aspect_ratio: str) -> VideoModel:
    return _row(key, kinds, Family.RELAXED, aspect_ratio=aspect_ratio, tiers=_ULTRA)


def _short(seconds: int) -> list[VideoModel]:
    length = f"{seconds}s"
    rows = []
    for name, family in (("fast", Family.FAST), ("quality", Family.QUALITY), ("lite", Family.LITE)):
        rows += [
            _row(f"veo_3_1_t2v_{name}_{length}", _TEXT, family, seconds=seconds),
            _row(f"veo_3_1_i2v_s_{name}_{length}", _START, family, seconds=seconds),
            _row(f"veo_3_1_i2v_s_{name}_{length}_fl", _START_END, family, seconds=seconds),
        ]
    return rows


_TEXT = (SubmitKind.TEXT,)
_START = (SubmitKind.START,)
_START_END = (SubmitKind.START_END,)
_EITHER_START = (SubmitKind.START, SubmitKind.START_END)
_REFERENCE = (SubmitKind.REFERENCE,)
_EXTEND = (SubmitKind.EXTEND,)
_UPSAMPLE = (SubmitKind.UPSAMPLE,)

_ROWS = [
    *_with_ultra("veo_3_1_t2v_fast", "veo_3_1_t2v_fast_ultra", _TEXT, LANDSCAPE),
    *_with_ultra("veo_3_1_t2v_fast_portrait", "veo_3_1_t2v_fast_portrait_ultra", _TEXT, PORTRAIT),
    _relaxed("veo_3_1_t2v_fast_ultra_relaxed", _TEXT, LANDSCAPE),
    _relaxed("veo_3_1_t2v_fast_portrait_ultra_relaxed", _TEXT, PORTRAIT),
    _row("veo_3_1_t2v", _TEXT, Family.QUALITY, aspect_ratio=LANDSCAPE),
    _row("veo_3_1_t2v_portrait", _TEXT, Family.QUALITY, aspect_ratio=PORTRAIT),
    _row("veo_3_1_t2v_lite", _TEXT, Family.LITE),
    *_with_ultra("veo_3_1_i2v_s_fast_fl", "veo_3_1_i2v_s_fast_ultra_fl", _START_END, LANDSCAPE),
    *_with_ultra("veo_3_1_i2v_s_fast_portrait_fl", "veo_3_1_i2v_s_fast_portrait_ultra_fl", _START_END, PORTRAIT),
    *_with_ultra("veo_3_1_i2v_s_fast", "veo_3_1_i2v_s_fast_ultra", _START, LANDSCAPE),
    *_with_ultra("veo_3_1_i2v_s_fast_portrait", "veo_3_1_i2v_s_fast_portrait_ultra", _START, PORTRAIT),
    _relaxed("veo_3_1_i2v_s_fast_ultra_relaxed", _EITHER_START, LANDSCAPE),
    _relaxed("veo_3_1_i2v_s_fast_portrait_ultra_relaxed", _EITHER_START, PORTRAIT),
    _relaxed("veo_3_1_i2v_s_fast_fl_ultra_relaxed", _START_END, LANDSCAPE),
    _relaxed("veo_3_1_i2v_s_fast_portrait_fl_ultra_relaxed", _START_END, PORTRAIT),
    _row("veo_3_1_i2v_s_fl", _START_END, Family.QUALITY, aspect_ratio=LANDSCAPE),
    _row("veo_3_1_i2v_s", _START, Family.QUALITY, aspect_ratio=LANDSCAPE),
    _row("veo_3_1_i2v_s_portrait_fl", _START_END, Family.QUALITY, aspect_ratio=PORTRAIT),
    _row("veo_3_1_i2v_s_portrait", _START, Family.QUALITY, aspect_ratio=PORTRAIT),
    _row("veo_3_1_i2v_lite", _START, Family.LITE),
    _row("veo_3_1_interpolation_lite", _START_END, Family.LITE),
    *_short(4),
    *_short(6),
    *_with_ultra("veo_3_1_r2v_fast_landscape", "veo_3_1_r2v_fast_landscape_ultra", _REFERENCE, LANDSCAPE),
    *_with_ultra("veo_3_1_r2v_fast_portrait", "veo_3_1_r2v_fast_portrait_ultra", _REFERENCE, PORTRAIT),
    _relaxed("veo_3_1_r2v_fast_landscape_ultra_relaxed", _REFERENCE, LANDSCAPE),
    _relaxed("veo_3_1_r2v_fast_portrait_ultra_relaxed", _REFERENCE, PORTRAIT),
    *(_row(f"abra_t2v_{seconds}s", _TEXT, Family.OMNI, seconds=seconds) for seconds in OMNI_PRICES),
    _row("abra_r2v_8s", _REFERENCE, Family.OMNI),
    _row("veo_3_1_extend_landscape", _EXTEND, Family.EXTEND, aspect_ratio=LANDSCAPE),
    _row("veo_3_1_extend_portrait", _EXTEND, Family.EXTEND, aspect_ratio=PORTRAIT),
    _row("veo_3_1_upsampler_1080p", _UPSAMPLE, Family.UPSAMPLE_1080P, tiers=_PAID),
    _row("veo_3_1_upsampler_4k", _UPSAMPLE, Family.UPSAMPLE_4K, tiers=_ULTRA),
]
VIDEO_MODELS = {row.key: row for row in _ROWS}

UPSAMPLER_RESOLUTIONS = {
    "veo_3_1_upsampler_1080p": "VIDEO_RESOLUTION_1080P",
    "veo_3_1_upsampler_4k": "VIDEO_RESOLUTION_4K",
}
UPSAMPLED_SIZES = {Family.UPSAMPLE_1080P: (1920, 1080), Family.UPSAMPLE_4K: (3840, 2160)}
BASE_SIZE = (1280, 720)

IMAGE_SIZES = {
    "IMAGE_ASPECT_RATIO_LANDSCAPE": (1376, 768),
    "IMAGE_ASPECT_RATIO_PORTRAIT": (768, 1376),
    "IMAGE_ASPECT_RATIO_SQUARE": (1024, 1024),
    "IMAGE_ASPECT_RATIO_LANDSCAPE_FOUR_THREE": (1200, 896),
    "IMAGE_ASPECT_RATIO_PORTRAIT_THREE_FOUR": (896, 1200),
}


@dataclass(frozen=True, slots=True)
class ImageModel:
    """One image model name."""

    name: str
    aspect_ratios: frozenset[str]
    references_at_most: int
    can_be_upsampled: bool


_ALL_RATIOS = frozenset(IMAGE_SIZES)
_TWO_RATIOS = frozenset({"IMAGE_ASPECT_RATIO_LANDSCAPE", "IMAGE_ASPECT_RATIO_PORTRAIT"})
IMAGE_MODELS = {
    model.name: model
    for model in (
        ImageModel("GEM_PIX_2", _ALL_RATIOS, 10, can_be_upsampled=True),
        ImageModel("NARWHAL", _ALL_RATIOS, 10, can_be_upsampled=True),
        ImageModel("IMAGEN_3_5", _TWO_RATIOS, 3, can_be_upsampled=False),
    )
}

# Resolution -> factor on both sides, lowest tier.
IMAGE_UPSAMPLES = {
    "UPSAMPLE_IMAGE_RESOLUTION_2K": (2, Tier.ONE),
    "UPSAMPLE_IMAGE_RESOLUTION_4K": (4, Tier.TWO),
}
