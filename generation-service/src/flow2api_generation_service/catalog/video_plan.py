"""From the facts of a video request to the ways to serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.aspect_ratios import check_size, ratio_of
from flow2api_generation_service.catalog.model import PublicModel, VideoRoute, VideoVariant
from flow2api_generation_service.catalog.prices import Price
from flow2api_generation_service.catalog.video_kinds import ImageRole, PictureUse, picture_uses
from flow2api_generation_service.catalog.video_models import deadline_seconds
from flow2api_upstream.port import AccountTier, VideoKind


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a request says about the form of its clip. Empty or 0 means: not said.

    ``roles`` has one entry per input picture, in order. ``has_source`` says that it continues another clip, which the
    provider ``source_provider`` has made and alone can continue.
    """

    model_id: str
    roles: tuple[ImageRole, ...] = ()
    aspect_ratio: str = ""
    size: tuple[int, int] | None = None
    duration_seconds: int = 0
    resolution: str = ""
    has_source: bool = False
    source_provider: str = ""


@dataclass(frozen=True, slots=True)
class VideoOption:
    """One way to make the clip; ``route`` is what its route is called.

    ``upstream_model_by_tier`` says what each tier sends, ``upstream_model`` what the lowest that may run it does.
    ``credits_by_tier`` says what each tier pays for the clip, ``upscale_credits`` what its enlargement costs.
    ``upsampler_model`` is set where the finished clip is enlarged to the plan's ``upscale_to``.
    """

    provider: str
    route: str
    upstream_model: str
    upstream_model_by_tier: Mapping[AccountTier, str]
    min_tier: AccountTier
    credits_by_tier: Mapping[AccountTier, int]
    upscale_credits: int
    upsampler_model: str | None
    typical_duration_seconds: int
    upscale_typical_seconds: int
    price: Price | None = None

    @property
    def least_credits(self) -> int:
        """The lowest known price, the enlargement included."""
        return min(self.credits_by_tier.values()) + self.upscale_credits

    def credits_for(self, tier: AccountTier) -> int:
        """The price of the clip alone on an account of this tier; one that the table lacks pays as the next lower."""
        known = [each for each in self.credits_by_tier if each <= tier]
        return self.credits_by_tier[max(known)] if known else max(self.credits_by_tier.values())


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """How to make the clip: options in order of preference, at least one (see `Catalog.plan_accepted_video`).

    ``image_order`` lists the indexes of the input pictures as ``VideoCall.images`` wants them. ``upscale_to`` is set
    where at least one option has to enlarge; look at the option's ``upsampler_model`` whether it does.
    """

    model: PublicModel
    kind: VideoKind
    aspect_ratio: str
    duration_seconds: int
    resolution: str
    upscale_to: str | None
    options: tuple[VideoOption, ...]
    image_order: tuple[int, ...]
    deadline_seconds: int

    @property
    def typical_duration_seconds(self) -> int:
        """How long it usually takes by the first option, the enlargement included."""
        return self.options[0].typical_duration_seconds + self.options[0].upscale_typical_seconds


_Found = list[tuple[VideoRoute, VideoVariant]]


def plan_video(model: PublicModel, facts: VideoFacts) -> VideoPlan:
    """The options of a model for a request.

    An id that fixes the orientation keeps it whatever the request says. Raises InvalidArgument naming
    ``source_video_id``, ``input_images``, ``aspect_ratio``, ``size``, ``resolution`` or ``seconds`` and what the model
    has.
    """
    ratio = ratio_of(facts.aspect_ratio)
    if facts.size is not None:
        check_size(*facts.size)
    use, found = _by_kind(model, facts)
    if model.is_fixed:
        ratio = model.aspect_ratios[0]
    elif ratio is None:
        ratio = _ratio_of_size(facts.size) if facts.size is not None else found[0][1].aspect_ratio
        if facts.size is not None and ratio not in model.aspect_ratios:
            ratio = model.aspect_ratios[0]
    found = _narrow(found, "aspect_ratio", ratio, lambda variant: (variant.aspect_ratio,), model)
    # A word that clients write in upper case too: 4K, 1080P.
    resolution = facts.resolution.strip().lower()
    if not resolution or resolution == "auto":
        resolution = found[0][1].resolution
    found = _narrow(found, "resolution", resolution, lambda variant: (variant.resolution,), model)
    seconds = facts.duration_seconds or found[0][1].durations_seconds[0]
    found = _narrow(found, "seconds", seconds, lambda variant: variant.durations_seconds, model)
    return VideoPlan(
        model=model,
        kind=use.kind,
        aspect_ratio=ratio,
        duration_seconds=seconds,
        resolution=resolution,
        upscale_to=resolution if any(variant.upsampler for _, variant in found) else None,
        options=tuple(_first_of_each_route(found)),
        image_order=use.order,
        deadline_seconds=deadline_seconds(resolution),
    )


def providers_that_extend(model: PublicModel) -> set[str]:
    """Those by which the model continues clips that they have made themselves."""
    return {
        route.provider
        for route in model.video_routes
        if any(variant.kind is VideoKind.EXTEND for variant in route.variants)
    }


def _by_kind(model: PublicModel, facts: VideoFacts) -> tuple[PictureUse, _Found]:
    if facts.has_source:
        return _to_extend(model, facts)
    uses = picture_uses(facts.roles)
    for use in uses:
        found = _matching(model, use.kind, len(facts.roles))
        if found:
            return use, found
    if not facts.roles and {variant.kind for route in model.video_routes for variant in route.variants} == {
        VideoKind.EXTEND
    }:
        raise InvalidArgument.of("source_video_id", f"The model {model.model_id} needs a video to continue.")
    raise InvalidArgument.of("input_images", f"The model {model.model_id} takes {_images_taken(model)}.")


def _to_extend(model: PublicModel, facts: VideoFacts) -> tuple[PictureUse, _Found]:
    found = _matching(model, VideoKind.EXTEND, 0)
    if facts.source_provider:
        found = [(route, variant) for route, variant in found if route.provider == facts.source_provider]
    if not found:
        raise InvalidArgument.of("source_video_id", f"The model {model.model_id} cannot continue a video.")
    if facts.roles:
        raise InvalidArgument.of("input_images", "A video is continued without input images.")
    return PictureUse(VideoKind.EXTEND, ()), found


def _matching(model: PublicModel, kind: VideoKind, image_count: int) -> _Found:
    return [
        (route, variant)
        for route in model.video_routes
        for variant in route.variants
        if variant.kind is kind and variant.min_images <= image_count <= variant.max_images
    ]


def _narrow(
    found: _Found,
    field: str,
    value: str | int,
    values_of: Callable[[VideoVariant], Iterable[str | int]],
    model: PublicModel,
) -> _Found:
    left = [(route, variant) for route, variant in found if value in values_of(variant)]
    if left:
        return left
    has = dict.fromkeys(each for _, variant in found for each in values_of(variant))
    known = ", ".join(str(each) for each in (sorted(has) if isinstance(value, int) else has))
    raise InvalidArgument.of(
        field, f"Invalid {field} '{str(value)[:40]}'. For this request, the model {model.model_id} has: {known}."
    )


def _first_of_each_route(found: _Found) -> Iterable[VideoOption]:
    seen: set[int] = set()
    for route, variant in found:
        if id(route) in seen:
            continue
        seen.add(id(route))
        lowest = min(variant.upstream_models)
        yield VideoOption(
            provider=route.provider,
            route=route.upstream_model,
            upstream_model=variant.upstream_models[lowest],
            upstream_model_by_tier=variant.upstream_models,
            min_tier=variant.min_tier,
            credits_by_tier=variant.credits_by_tier,
            upscale_credits=variant.upsampler.credits if variant.upsampler else 0,
            upsampler_model=variant.upsampler.upstream_model if variant.upsampler else None,
            typical_duration_seconds=variant.typical_seconds,
            upscale_typical_seconds=variant.upsampler.typical_seconds if variant.upsampler else 0,
            price=route.price,
        )


def _ratio_of_size(size: tuple[int, int]) -> str:
    width, height = size
    return "9:16" if height > width else "16:9"


def _images_taken(model: PublicModel) -> str:
    counts = sorted(
        {
            count
            for route in model.video_routes
            for variant in route.variants
            for count in range(variant.min_images, variant.max_images + 1)
        }
    )
    if counts == [0]:
        return "no input images"
    return f"{' or '.join(map(str, counts))} input images in the roles that its kind has"
