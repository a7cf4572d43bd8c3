"""The shapes of the catalog's data files, and reading them."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache, cached_property
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flow2api_upstream.port import AccountTier, VideoKind

TierName = Literal["one", "two"]
Orientation = Literal["landscape", "portrait"]
ClipType = Literal["t2v", "i2v", "r2v", "omni", "extend"]
Grade = Literal["fast", "quality", "lite", "relaxed", "omni", "extend"]

_TIERS: dict[str | None, AccountTier] = {
    None: AccountTier.UNSPECIFIED,
    "one": AccountTier.ONE,
    "two": AccountTier.TWO,
}


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImageResolutionRow(_Row):
    """A resolution of an image route; see ``ImageResolution``."""

    name: str
    generate: str
    upscale_to: str | None = None
    tier: TierName | None = None

    @property
    def min_tier(self) -> AccountTier:
        """Lowest plan that has it."""
        return _TIERS[self.tier]


class ImageRouteRow(_Row):
    """One way to serve an image family."""

    provider: str
    upstream_model: str
    aspect_ratios: tuple[str, ...] = Field(min_length=1, strict=False)
    max_input_images: int = Field(ge=0)
    resolutions: tuple[ImageResolutionRow, ...] = Field(min_length=1, strict=False)


class ImageFamilyRow(_Row):
    """An image model under its short name."""

    name: str
    display_name: str
    description: str
    create_date: date
    typical_seconds: int = Field(gt=0)
    routes: tuple[ImageRouteRow, ...] = Field(min_length=1, strict=False)


class FixedImageRow(_Row):
    """An image id that fixes ratio and resolution."""

    id: str
    family: str
    aspect_ratio: str
    resolution: str


class ImagesFile(_Row):
    """images.toml."""

    fixed_ids: tuple[FixedImageRow, ...] = Field(strict=False)
    families: tuple[ImageFamilyRow, ...] = Field(strict=False)


class GradeRow(_Row):
    """Price and usual time of clips of one quality."""

    credits: int = Field(ge=0)
    credits_tier_two: int = Field(ge=0)
    typical_seconds: int = Field(gt=0)


class UpsamplerRow(_Row):
    """An enlargement of finished clips."""

    key: str
    credits: int = Field(ge=0)
    typical_seconds: int = Field(gt=0)


class BaseIdRow(_Row):
    """An id without orientation: which row each orientation takes."""

    id: str
    landscape: str
    portrait: str


class ClipRow(_Row):
    """One video id of docs/upstream/flow.md, section 19."""

    id: str
    type: ClipType
    orientation: Orientation
    images: tuple[int, int] = Field(strict=False)
    seconds: int = Field(gt=0)
    key: str | None = None
    key_tier_two: str | None = None
    upsampler: str | None = None
    tier: TierName | None = None
    grade: Grade
    portrait: str | None = None

    @model_validator(mode="after")
    def _has_a_key(self) -> Self:
        if self.key is None and (self.key_tier_two is None or self.tier != "two"):
            raise ValueError(f"{self.id}: a row without key needs key_tier_two and tier two")
        return self

    @property
    def min_tier(self) -> AccountTier:
        """Lowest plan that may run it."""
        return _TIERS[self.tier]

    @property
    def aspect_ratio(self) -> str:
        """Ratio of its orientation."""
        return "9:16" if self.orientation == "portrait" else "16:9"


class _BaseIds(_Row):
    rows: tuple[BaseIdRow, ...] = Field(strict=False)


class _Clips(_Row):
    rows: tuple[ClipRow, ...] = Field(strict=False)


class FlowClipsFile(_Row):
    """flow_clips.toml."""

    grades: dict[Grade, GradeRow]
    upsamplers: dict[str, UpsamplerRow]
    base_ids: _BaseIds
    clips: _Clips

    @cached_property
    def clips_by_id(self) -> dict[str, ClipRow]:
        """Every row by its id."""
        return {row.id: row for row in self.clips.rows}


class AbilityRow(_Row):
    """A kind of clip that an official model can make; the first length is the default."""

    kind: VideoKind = Field(strict=False)
    images: tuple[int, int] = Field(strict=False)
    seconds: tuple[int, ...] = Field(min_length=1, strict=False)
    resolutions: tuple[str, ...] = Field(min_length=1, strict=False)


class VideoRouteRow(_Row):
    """One way to serve a video family: rows of flow_clips.toml, or an official model and its abilities."""

    provider: str
    clips: tuple[str, ...] = Field(default=(), strict=False)
    upstream_model: str = ""
    typical_seconds: int = 0
    abilities: tuple[AbilityRow, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if bool(self.clips) == bool(self.abilities) or bool(self.abilities) != bool(self.upstream_model):
            raise ValueError("a video route has either clips, or an upstream_model with abilities")
        return self


class VideoFamilyRow(_Row):
    """A video model under its short name."""

    name: str
    display_name: str
    description: str
    create_date: date
    routes: tuple[VideoRouteRow, ...] = Field(min_length=1, strict=False)


class VideoFamiliesFile(_Row):
    """video_families.toml."""

    families: tuple[VideoFamilyRow, ...] = Field(strict=False)


class SpellingRow(_Row):
    """Another spelling of an id."""

    id: str
    stands_for: str


class RetiredRow(SpellingRow):
    """An id whose model is gone upstream; ``aspect_ratio`` where the id fixes one that its successor leaves open."""

    shutdown_date: date
    aspect_ratio: str | None = None


class AliasesFile(_Row):
    """aliases.toml."""

    spellings: tuple[SpellingRow, ...] = Field(strict=False)
    retired: tuple[RetiredRow, ...] = Field(strict=False)


class PriceRow(_Row):
    """What a model costs in money; see ``prices.Price``."""

    providers: tuple[str, ...] = Field(min_length=1, strict=False)
    upstream_model: str
    as_of: date
    image: dict[str, Annotated[int, Field(gt=0)]] = Field(default={})
    second: dict[str, Annotated[int, Field(gt=0)]] = Field(default={})
    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    output_tokens_per_second: int = Field(default=0, ge=0)
    extension_seconds: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _costs_something(self) -> Self:
        if sum(map(bool, (self.image, self.second, self.output_tokens_per_second))) != 1:
            raise ValueError(f"{self.upstream_model} costs by the image, by the second, or by tokens for each second")
        if bool(self.output_tokens) != bool(self.output_tokens_per_second):
            raise ValueError(f"{self.upstream_model}: output_tokens and output_tokens_per_second belong together")
        return self


class PricesFile(_Row):
    """prices.toml."""

    prices: tuple[PriceRow, ...] = Field(strict=False)


class CatalogFiles(_Row):
    """All data files together."""

    images: ImagesFile
    flow_clips: FlowClipsFile
    video_families: VideoFamiliesFile
    aliases: AliasesFile
    prices: PricesFile


@cache
def read_catalog_files() -> CatalogFiles:
    """The packaged data files, valid; read once in a process. Raises pydantic.ValidationError where one is wrong."""
    names = ("images", "flow_clips", "video_families", "aliases", "prices")
    tables = resources.files("flow2api_generation_service.catalog").joinpath("tables")
    parsed = {name: tomllib.loads(tables.joinpath(f"{name}.toml").read_text(encoding="utf-8")) for name in names}
    return CatalogFiles.model_validate(parsed)
