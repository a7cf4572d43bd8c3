"""From images.toml to public models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from flow2api_generation_service.catalog.files import FixedImageRow, ImageFamilyRow, ImageRouteRow, ImagesFile
from flow2api_generation_service.catalog.model import ImageResolution, ImageRoute, Modality, PublicModel
from flow2api_generation_service.catalog.prices import Price, PriceBook

DEADLINE_SECONDS = 600


def image_models(file: ImagesFile, prices: PriceBook) -> Iterator[PublicModel]:
    """Every image id of the file: the families and the ids that fix ratio and resolution."""
    families = {family.name: family for family in file.families}
    for family in file.families:
        yield _model(family, family.name, family.display_name, _routes(family.routes, prices), is_fixed=False)
    for row in file.fixed_ids:
        family = families[row.family]
        routes = tuple(_narrowed(_routes(family.routes, prices), row))
        if not routes:
            raise ValueError(f"{row.id}: no route of {row.family} has {row.aspect_ratio} at {row.resolution}")
        yield _model(family, row.id, f"{family.display_name} ({_title(row)})", routes, is_fixed=True)


def _model(
    family: ImageFamilyRow, model_id: str, title: str, routes: tuple[ImageRoute, ...], *, is_fixed: bool
) -> PublicModel:
    return PublicModel(
        model_id=model_id,
        modality=Modality.IMAGE,
        display_name=title,
        description=family.description,
        create_date=family.create_date,
        aspect_ratios=_union(ratio for route in routes for ratio in route.aspect_ratios),
        durations_seconds=(),
        resolutions=_union(resolution.name for route in routes for resolution in route.resolutions),
        min_input_images=0,
        max_input_images=max(route.max_input_images for route in routes),
        routes=routes,
        typical_duration_seconds=family.typical_seconds,
        deadline_seconds=DEADLINE_SECONDS,
        is_fixed=is_fixed,
    )


def _routes(rows: Iterable[ImageRouteRow], prices: PriceBook) -> tuple[ImageRoute, ...]:
    return tuple(_route(row, prices.find(row.provider, row.upstream_model)) for row in rows)


def _route(row: ImageRouteRow, price: Price | None) -> ImageRoute:
    unpriced = [each.generate for each in row.resolutions if price and not price.has(each.generate, is_video=False)]
    if unpriced:
        raise ValueError(f"prices.toml lacks {row.provider} {row.upstream_model} in {', '.join(unpriced)}")
    return ImageRoute(
        provider=row.provider,
        upstream_model=row.upstream_model,
        aspect_ratios=row.aspect_ratios,
        resolutions=tuple(
            ImageResolution(resolution.name, resolution.generate, resolution.upscale_to, resolution.min_tier)
            for resolution in row.resolutions
        ),
        max_input_images=row.max_input_images,
        price=price,
    )


def _narrowed(routes: Iterable[ImageRoute], fixed: FixedImageRow) -> Iterator[ImageRoute]:
    for route in routes:
        resolutions = tuple(resolution for resolution in route.resolutions if resolution.name == fixed.resolution)
        if resolutions and fixed.aspect_ratio in route.aspect_ratios:
            yield replace(route, aspect_ratios=(fixed.aspect_ratio,), resolutions=resolutions)


def _title(row: FixedImageRow) -> str:
    return row.aspect_ratio if row.resolution == "1K" else f"{row.aspect_ratio}, {row.resolution}"


def _union(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
