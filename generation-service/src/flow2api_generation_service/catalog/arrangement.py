"""Which routes of the catalog are used, and in which order, by what operators have decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flow2api_common.name_patterns import matches_any
from flow2api_generation_service.catalog.model import CatalogRoute, ImageRoute, PublicModel


@dataclass(frozen=True, slots=True, order=True)
class RouteId:
    """An upstream model of a provider. It names routes of any number of public models."""

    provider: str
    upstream_model: str

    @classmethod
    def parse(cls, text: str) -> RouteId | None:
        """From `provider/upstream_model`; None where it is no such text."""
        provider, _, upstream_model = text.partition("/")
        return cls(provider, upstream_model) if provider and upstream_model else None

    def __str__(self) -> str:
        """`provider/upstream_model`."""
        return f"{self.provider}/{self.upstream_model}"


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Routes that are switched off, and other orders than the catalog's, by public model (no alias) or pattern.

    ``gone`` are those that are off because their upstream knows the model nowhere.
    """

    off: frozenset[RouteId] = frozenset()
    order: Mapping[str, tuple[RouteId, ...]] = field(default_factory=dict)
    gone: frozenset[RouteId] = frozenset()

    def order_of(self, model: PublicModel) -> tuple[RouteId, ...]:
        """The order that was decided for a model; empty if none was."""
        name = model.served_id
        patterns = (order for pattern, order in sorted(self.order.items()) if matches_any(name, [pattern]))
        return self.order.get(name) or next(patterns, ())

    def is_on(self, *routes: RouteId) -> bool:
        """Whether none of these is switched off."""
        return self.off.isdisjoint(routes)


AS_PACKAGED = Arrangement()


def route_id(route: CatalogRoute) -> RouteId:
    """What a route is called."""
    return RouteId(route.provider, route.upstream_model)


def arranged(model: PublicModel, arrangement: Arrangement) -> PublicModel:
    """The model with the routes that are used, in their order, and what these can do; the others stand aside.

    Of a route of which only some upstream models are switched off, the other variants stay. Where nothing is left, the
    model says what it could do.
    """
    routes = tuple(each for route in in_order(model, arrangement) if (each := _left(route, arrangement)) is not None)
    names = {route_id(route) for route in routes}
    off = tuple(route for route in model.routes if route_id(route) not in names)
    if routes == model.routes:
        return model
    if not routes:
        return replace(model, routes=(), off_routes=off)
    if all(isinstance(route, ImageRoute) for route in routes):
        return _with_images(replace(model, routes=routes, off_routes=off))
    return _with_videos(replace(model, routes=routes, off_routes=off))


def in_order(model: PublicModel, arrangement: Arrangement) -> tuple[CatalogRoute, ...]:
    """All routes of a model; those that the order does not name come after the others."""
    order = arrangement.order_of(model)
    places = {name: place for place, name in enumerate(order)}
    return tuple(sorted(model.routes, key=lambda route: places.get(route_id(route), len(places))))


def _left(route: CatalogRoute, arrangement: Arrangement) -> CatalogRoute | None:
    if not arrangement.is_on(route_id(route)):
        return None
    if isinstance(route, ImageRoute):
        return route
    variants = tuple(
        variant
        for variant in route.variants
        if arrangement.is_on(*(RouteId(route.provider, name) for name in variant.upstream_models.values()))
    )
    if not variants:
        return None
    return route if len(variants) == len(route.variants) else replace(route, variants=variants)


def _with_images(model: PublicModel) -> PublicModel:
    routes = model.image_routes
    names = dict.fromkeys(resolution.name for route in routes for resolution in route.resolutions)
    return replace(
        model,
        aspect_ratios=_kept(model.aspect_ratios, {ratio for route in routes for ratio in route.aspect_ratios}),
        resolutions=_kept(model.resolutions, set(names)),
        max_input_images=max(route.max_input_images for route in routes),
    )


def _with_videos(model: PublicModel) -> PublicModel:
    variants = [variant for route in model.video_routes for variant in route.variants]
    seconds = {each for variant in variants for each in variant.durations_seconds}
    return replace(
        model,
        aspect_ratios=_kept(model.aspect_ratios, {variant.aspect_ratio for variant in variants}),
        durations_seconds=tuple(each for each in model.durations_seconds if each in seconds),
        resolutions=_kept(model.resolutions, {variant.resolution for variant in variants}),
        min_input_images=min(variant.min_images for variant in variants),
        max_input_images=max(variant.max_images for variant in variants),
    )


def _kept(values: tuple[str, ...], left: set[str]) -> tuple[str, ...]:
    """In the order of before, so that the default stays where it can."""
    return tuple(value for value in values if value in left)
