"""From images.toml to public models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flow2api_generation_service.catalog.files import FixedImageRow, ImageFamilyRow, ImageRouteRow, ImagesFile
from flow2api_generation_service.catalog.model import ImageResolution, ImageRoute, Modality, PublicModel

DEADLINE_SECONDS = 600


def image_models(file: ImagesFile) -> Iterator[PublicModel]:
    """Every image id of the file: the families and the ids that fix ratio and resolution."""
    families = {family.name: family for family in file.families}
    for family in file.families:
        yield _model(family, family.name, family.display_name, tuple(map(_route, family.routes)), is_fixed=False)
    for row in file.fixed_ids:
        family = families[row.family]
        routes = tuple(_narrowed(family.routes, row))
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


def _route(row: ImageRouteRow) -> ImageRoute:
    return ImageRoute(
        provider=row.provider,
        upstream_model=row.upstream_model,
        aspect_ratios=row.aspect_ratios,
        resolutions=tuple(
            ImageResolution(resolution.name, resolution.generate, resolution.upscale_to, resolution.min_tier)
            for resolution in row.resolutions
        ),
        max_input_images=row.max_input_images,
    )


def _narrowed(rows: Iterable[ImageRouteRow], fixed: FixedImageRow) -> Iterator[ImageRoute]:
    for row in rows:
        route = _route(row)
        resolutions = tuple(resolution for resolution in route.resolutions if resolution.name == fixed.resolution)
        if resolutions and fixed.aspect_ratio in route.aspect_ratios:
            yield ImageRoute(
                provider=route.provider,
                upstream_model=route.upstream_model,
                aspect_ratios=(fixed.aspect_ratio,),
                resolutions=resolutions,
                max_input_images=route.max_input_images,
            )


def _title(row: FixedImageRow) -> str:
    return row.aspect_ratio if row.resolution == "1K" else f"{row.aspect_ratio}, {row.resolution}"


def _union(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
