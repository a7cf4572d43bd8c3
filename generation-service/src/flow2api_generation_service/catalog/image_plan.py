"""From the facts of an image request to the ways to serve it."""

from __future__ import annotations

from dataclasses import dataclass

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.aspect_ratios import check_size, nearest_ratio, ratio_of
from flow2api_generation_service.catalog.model import ImageRoute, PublicModel
from flow2api_generation_service.catalog.prices import Price
from flow2api_upstream.port import AccountTier

# From this longer side on, a size stands for the larger resolution.
_STEPS = ((3840, "4K"), (2048, "2K"))


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a request says about the form of its pictures. Empty means: not said.

    ``size`` is width and height in pixels. ``reference_size`` is that of the first input picture; it decides the ratio
    when nothing else does.
    """

    model_id: str
    input_image_count: int = 0
    aspect_ratio: str = ""
    size: tuple[int, int] | None = None
    resolution: str = ""
    reference_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ImageOption:
    """One way to make the picture. ``upscale_to`` is set where what is generated has to be enlarged after it."""

    provider: str
    upstream_model: str
    aspect_ratio: str
    generate_resolution: str
    upscale_to: str | None
    min_tier: AccountTier
    credits: int = 0
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """How to make the picture: options in order of preference, at least one."""

    model: PublicModel
    options: tuple[ImageOption, ...]


def plan_image(model: PublicModel, facts: ImageFacts) -> ImagePlan:
    """The options of a model for a request.

    An id that fixes ratio and resolution keeps them whatever the request says. A named ratio has to exist; by a size
    each route takes its nearest one. Raises InvalidArgument naming ``input_images``, ``aspect_ratio``, ``size`` or
    ``resolution`` and what the model has.
    """
    ratio = ratio_of(facts.aspect_ratio)
    if facts.size is not None:
        check_size(*facts.size)
    resolution = _resolution(model, facts)
    routes = [route for route in model.image_routes if facts.input_image_count <= route.max_input_images]
    if not routes:
        raise InvalidArgument.of(
            "input_images", f"The model {model.model_id} takes at most {model.max_input_images} input images."
        )
    if ratio is not None and not model.is_fixed:
        routes = [route for route in routes if ratio in route.aspect_ratios]
        if not routes:
            has = ", ".join(model.aspect_ratios)
            raise InvalidArgument.of("aspect_ratio", f"The model {model.model_id} has the aspect ratios {has}.")
    options = tuple(
        option for route in routes if (option := _option(route, _ratio(route, ratio, facts), resolution)) is not None
    )
    if not options:
        has = ", ".join(model.resolutions)
        raise InvalidArgument.of(
            "resolution", f"The model {model.model_id} has the resolutions {has}; not {resolution} in this form."
        )
    return ImagePlan(model, options)


def _resolution(model: PublicModel, facts: ImageFacts) -> str:
    default = model.resolutions[0]
    if model.is_fixed:
        return default
    wanted = facts.resolution.strip().upper()
    if wanted and wanted != "AUTO":
        if wanted not in model.resolutions:
            has = ", ".join(model.resolutions)
            raise InvalidArgument.of("resolution", f"The model {model.model_id} has the resolutions {has}.")
        return wanted
    if facts.size is not None:
        longer = max(facts.size)
        return next((name for side, name in _STEPS if longer >= side and name in model.resolutions), default)
    return default


def _ratio(route: ImageRoute, ratio: str | None, facts: ImageFacts) -> str:
    if ratio is not None and ratio in route.aspect_ratios:
        return ratio
    shape = facts.size or facts.reference_size
    if shape is not None:
        return nearest_ratio(*shape, route.aspect_ratios)
    return route.aspect_ratios[0]


def _option(route: ImageRoute, aspect_ratio: str, resolution: str) -> ImageOption | None:
    for row in route.resolutions:
        if row.name == resolution:
            return ImageOption(
                provider=route.provider,
                upstream_model=route.upstream_model,
                aspect_ratio=aspect_ratio,
                generate_resolution=row.generate,
                upscale_to=row.upscale_to,
                min_tier=row.min_tier,
                price=route.price,
            )
    return None
