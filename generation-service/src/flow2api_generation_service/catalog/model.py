"""A public model and the ways to serve it, as the rest of the service sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TypeAlias

from flow2api_generation_service.catalog.prices import Price
from flow2api_upstream.port import AccountTier, VideoKind


class Modality(StrEnum):
    """What a model makes."""

    IMAGE = "image"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class ImageResolution:
    """A resolution that a route has. ``upscale_to`` is None where the upstream generates it directly; else
    ``generate`` is what is generated before the enlargement."""

    name: str
    generate: str
    upscale_to: str | None
    min_tier: AccountTier


@dataclass(frozen=True, slots=True)
class ImageRoute:
    """One way to make pictures. Default ratio and resolution come first; without a ``price`` it costs no money."""

    provider: str
    upstream_model: str
    aspect_ratios: tuple[str, ...]
    resolutions: tuple[ImageResolution, ...]
    max_input_images: int
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Upsampler:
    """The enlargement of a finished clip: its upstream model, price in credits and usual time."""

    upstream_model: str
    resolution: str
    credits: int
    typical_seconds: int


@dataclass(frozen=True, slots=True)
class VideoVariant:
    """One kind of clip that a route can make, with everything that is fixed about it.

    ``upstream_models`` holds the tiers that may run it, ``credits_by_tier`` what each of them pays without the
    enlargement; 0 where no price is known. ``resolution`` is what the client gets.
    """

    kind: VideoKind
    min_images: int
    max_images: int
    aspect_ratio: str
    durations_seconds: tuple[int, ...]
    resolution: str
    upstream_models: Mapping[AccountTier, str]
    min_tier: AccountTier
    credits_by_tier: Mapping[AccountTier, int]
    typical_seconds: int
    upsampler: Upsampler | None = None


@dataclass(frozen=True, slots=True)
class VideoRoute:
    """One way to make clips. ``upstream_model`` names it for people. Preferred variants come first; without a ``price``
    it costs no money."""

    provider: str
    upstream_model: str
    variants: tuple[VideoVariant, ...]
    price: Price | None = None


CatalogRoute: TypeAlias = ImageRoute | VideoRoute


@dataclass(frozen=True, slots=True)
class PublicModel:
    """What clients may name. Of ratios, lengths and resolutions the first is the default.

    ``alias_of`` is the id that this one stands for, empty if it is its own. ``is_fixed`` says that the id itself names
    the ratio (of pictures also the resolution), so that a request cannot choose it. ``typical_duration_seconds`` is how
    long a generation usually takes, ``deadline_seconds`` when to give up. ``off_routes`` are switched off.
    """

    model_id: str
    modality: Modality
    display_name: str
    description: str
    create_date: date
    aspect_ratios: tuple[str, ...]
    durations_seconds: tuple[int, ...]
    resolutions: tuple[str, ...]
    min_input_images: int
    max_input_images: int
    routes: tuple[CatalogRoute, ...]
    typical_duration_seconds: int
    deadline_seconds: int
    is_fixed: bool = False
    alias_of: str = ""
    shutdown_date: date | None = None
    off_routes: tuple[CatalogRoute, ...] = ()

    @property
    def served_id(self) -> str:
        """The id after aliases."""
        return self.alias_of or self.model_id

    @property
    def image_routes(self) -> tuple[ImageRoute, ...]:
        """Its routes, when it makes pictures."""
        return tuple(route for route in self.routes if isinstance(route, ImageRoute))

    @property
    def video_routes(self) -> tuple[VideoRoute, ...]:
        """Its routes, when it makes clips."""
        return tuple(route for route in self.routes if isinstance(route, VideoRoute))
