"""Switches and order of the routes: what operators decide, and what the upstream's 404 does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Counter

from flow2api_common.errors import Flow2APIError, InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_common.name_patterns import matches_any
from flow2api_generation_service.catalog.arrangement import Arrangement, RouteId, in_order, route_id
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.model import PublicModel, VideoRoute
from flow2api_generation_service.runtime.store import Kept, SettingStore, Values

log = get_logger(__name__)

ROUTES_GONE_TOTAL: Final = Counter(
    "flow2api_routes_gone_total", "Routes switched off because the upstream did not know their model", ["provider"]
)

MODEL_GONE: Final = "model_gone"
_ROUTE: Final = "route:"
_ORDER: Final = "order:"
_UPSTREAM: Final = "upstream"
_MAX_REASON: Final = 200
_MAX_PATTERN: Final = 100


@dataclass(frozen=True, slots=True)
class RouteState:
    """A route, and the switch that stands in its way if there is one."""

    route: RouteId
    off: Kept | None

    @property
    def reason(self) -> str:
        """Why it was switched off; empty while it is on."""
        return str(self.off.value.get("reason", "")) if self.off is not None else ""


@dataclass(frozen=True, slots=True)
class RoutesOfModel:
    """The routes of a public model, in the order in which they are tried."""

    model_id: str
    routes: tuple[RouteState, ...]
    is_reordered: bool


class Routes:
    """Arranges the catalog by what the store says."""

    def __init__(self, *, catalog: Catalog, store: SettingStore) -> None:
        self._catalog = catalog
        self._store = store
        store.listen(lambda values: catalog.arrange(_arrangement(values)))

    def of_models(self, model_id: str = "") -> list[RoutesOfModel]:
        """The routes of this model, or of all. Raises NotFound MODEL_NOT_FOUND."""
        chosen = self._catalog.resolve(model_id).served_id if model_id else ""
        return [
            self._of(model)
            for model in self._catalog.packaged_models
            if not model.alias_of and (not chosen or model.model_id == chosen)
        ]

    async def switch(self, route: RouteId, *, is_on: bool, reason: str, actor: str) -> list[RoutesOfModel]:
        """Switch a route on or off; gives the models that have it.

        Raises NotFound MODEL_ROUTE_NOT_FOUND, InvalidArgument.
        """
        if len(reason) > _MAX_REASON:
            raise InvalidArgument.of("reason", f"A reason has at most {_MAX_REASON} characters.")
        models = [model for model in self._catalog.packaged_models if not model.alias_of and route in _names(model)]
        if not models:
            raise NotFound("There is no such route.", reason="MODEL_ROUTE_NOT_FOUND")
        await self._store.change(_ROUTE + str(route), None if is_on else {"reason": reason}, actor=actor)
        return [self._of(model) for model in models]

    async def reorder(self, model_id: str, order: Sequence[str], *, actor: str) -> list[RoutesOfModel]:
        """Set the order of the routes of a model, or of those that fit a pattern with ``*``; an empty one is the
        catalog's. Gives the models. Raises NotFound MODEL_NOT_FOUND, InvalidArgument for ``routes``."""
        name = model_id if "*" in model_id else self._catalog.resolve(model_id).served_id
        own = [model for model in self._catalog.packaged_models if not model.alias_of]
        models = [model for model in own if matches_any(model.model_id, [name])]
        if not models or len(name) > _MAX_PATTERN:
            raise NotFound("No model has such an id.", reason="MODEL_NOT_FOUND")
        known = list(dict.fromkeys(str(route_id(route)) for model in models for route in model.routes))
        if not set(order) <= set(known) or len(set(order)) != len(order):
            raise InvalidArgument.of("routes", f"Each route can stand there once; {name} has: {', '.join(known)}.")
        await self._store.change(_ORDER + name, list(order) or None, actor=actor)
        return [self._of(model) for model in models]

    async def model_gone(self, provider: str, upstream_model: str) -> None:
        """The upstream does not know a model any more: nobody is sent there until a person says so. Raises nothing."""
        route = RouteId(provider, upstream_model)
        if not self._catalog.arrangement.is_on(route):
            return
        try:
            is_first = await self._store.change(
                _ROUTE + str(route), {"reason": MODEL_GONE}, actor=_UPSTREAM, only_if_unset=True
            )
        except Flow2APIError as error:
            # The next one that is sent there tells it again.
            log.warning("route_not_switched_off", route=str(route), reason=error.reason)
            return
        if is_first:
            ROUTES_GONE_TOTAL.labels(provider).inc()
            log.warning("route_switched_off", route=str(route), reason=MODEL_GONE)

    def _of(self, model: PublicModel) -> RoutesOfModel:
        arrangement = self._catalog.arrangement
        values = self._store.values
        states: list[RouteState] = []
        for route in in_order(model, arrangement):
            name = route_id(route)
            states.append(RouteState(name, values.get(_ROUTE + str(name))))
            # Of Flow's routes single variants may be off.
            others = sorted(_variant_names([route]) - {name}) if isinstance(route, VideoRoute) else []
            states += [RouteState(each, off) for each in others if (off := values.get(_ROUTE + str(each))) is not None]
        return RoutesOfModel(model.model_id, tuple(states), bool(arrangement.order_of(model)))


def _names(model: PublicModel) -> set[RouteId]:
    return {route_id(route) for route in model.routes} | _variant_names(model.video_routes)


def _variant_names(routes: Collection[VideoRoute]) -> set[RouteId]:
    return {
        RouteId(route.provider, name)
        for route in routes
        for variant in route.variants
        for name in variant.upstream_models.values()
    }


def _arrangement(values: Values) -> Arrangement:
    off: set[RouteId] = set()
    order: dict[str, tuple[RouteId, ...]] = {}
    for name, kept in values.items():
        if name.startswith(_ROUTE) and (route := RouteId.parse(name.removeprefix(_ROUTE))) is not None:
            off.add(route)
        elif name.startswith(_ORDER):
            order[name.removeprefix(_ORDER)] = _parsed_order(kept.value)
    return Arrangement(frozenset(off), order)


def _parsed_order(value: Any) -> tuple[RouteId, ...]:
    texts = value if isinstance(value, list) else []
    return tuple(route for text in texts if (route := RouteId.parse(str(text))) is not None)
