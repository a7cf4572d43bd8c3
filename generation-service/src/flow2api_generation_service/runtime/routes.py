"""Switches and order of the routes: what operators decide, and what the upstream's 404 does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import prometheus_client as metrics

from flow2api_common.clock import Clock
from flow2api_common.errors import Flow2APIError, InvalidArgument, NotFound
from flow2api_common.logs import get_logger
from flow2api_common.name_patterns import matches_any
from flow2api_generation_service.catalog.arrangement import Arrangement, RouteId, in_order, route_id
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.model import PublicModel, VideoRoute
from flow2api_generation_service.runtime.store import Kept, SettingStore, Values

log = get_logger(__name__)

ROUTES_GONE_TOTAL: Final = metrics.Counter(
    "flow2api_routes_gone_total", "Routes switched off because the upstream did not know their model", ["provider"]
)

ROUTES_OFF: Final = metrics.Gauge(
    "flow2api_routes_off",
    "Routes that are switched off, by provider and by whom: operator or upstream",
    ["provider", "by"],
)

MODEL_GONE: Final = "model_gone"
_ROUTE: Final = "route:"
_ORDER: Final = "order:"
_UPSTREAM: Final = "upstream"
_RETRY: Final = "retry"
_RETRY_TIME: Final = "retry_time"
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

    @property
    def retry_time(self) -> datetime | None:
        """When it is tried again by itself; None where it stays as it is."""
        return _retry_time(self.off) if self.off is not None else None


@dataclass(frozen=True, slots=True)
class RoutesOfModel:
    """The routes of a public model, in the order in which they are tried."""

    model_id: str
    routes: tuple[RouteState, ...]
    is_reordered: bool


class Pool(Protocol):
    """What routes ask of the token pool. All raise Flow2APIError."""

    async def has_new_account(self, provider: str, since: datetime) -> bool:
        """Whether a person has added, enabled or renewed an account since a time."""

    async def forget_absence(self, provider: str, upstream_model: str) -> None:
        """Have the locations that had not got a model asked again."""


class Routes:
    """Arranges the catalog by what the store says."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        store: SettingStore,
        pool: Pool,
        clock: Clock,
        gone_pause: timedelta,
        interval: timedelta,
    ) -> None:
        """A route whose model is gone is tried again after ``gone_pause``; ``interval`` is that of `run`."""
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._clock = clock
        self._gone_pause = gone_pause
        self._interval = interval
        store.listen(self._arrange)

    async def run(self) -> None:
        """Try again what the upstream has switched off, when its time has come, until cancelled."""
        while True:
            await asyncio.sleep(self._interval.total_seconds())
            try:
                await self.try_again()
            except Flow2APIError as error:
                # The next round is soon.
                log.info("routes_not_tried_again", reason=error.reason)

    async def try_again(self) -> None:
        """Switch routes on whose model was gone, when their pause is over or an account has come that was not asked.

        The next request finds out whether the model is there again. Raises Flow2APIError.
        """
        for name, kept in list(self._store.values.items()):
            route = RouteId.parse(name.removeprefix(_ROUTE)) if name.startswith(_ROUTE) else None
            retry_time = _retry_time(kept)
            if route is None or retry_time is None:
                continue
            is_due = retry_time <= self._clock()
            if not is_due and not await self._pool.has_new_account(route.provider, kept.update_time):
                continue
            if is_due:
                await self._pool.forget_absence(route.provider, route.upstream_model)
            if await self._store.take_back(name, kept, actor=_RETRY):
                log.info("route_tried_again", route=str(route), cause="pause_over" if is_due else "new_account")

    def of_models(self, model_id: str = "") -> list[RoutesOfModel]:
        """The routes of this model, or of all. Raises NotFound MODEL_NOT_FOUND."""
        chosen = self._catalog.resolve(model_id).served_id if model_id else ""
        return [
            self._of(model)
            for model in self._catalog.packaged_models
            if not model.alias_of and (not chosen or model.model_id == chosen)
        ]

    def is_partly_gone(self, model: PublicModel) -> bool:
        """Whether an upstream does not know the model any more that has served it."""
        return not self._catalog.arrangement.gone.isdisjoint(map(route_id, model.off_routes))

    async def switch(self, route: RouteId, *, is_on: bool, reason: str, actor: str) -> list[RoutesOfModel]:
        """Switch a route on or off; gives the models that have it. What is switched on is asked for everywhere again.

        Raises NotFound MODEL_ROUTE_NOT_FOUND, InvalidArgument.
        """
        if len(reason) > _MAX_REASON:
            raise InvalidArgument.of("reason", f"A reason has at most {_MAX_REASON} characters.")
        models = [model for model in self._catalog.packaged_models if not model.alias_of and route in _names(model)]
        if not models:
            raise NotFound("There is no such route.", reason="MODEL_ROUTE_NOT_FOUND")
        if is_on:
            await self._ask_everywhere(route)
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
        """The upstream does not know a model any more, at none of its accounts: nobody is sent there for a while.

        Raises nothing.
        """
        route = RouteId(provider, upstream_model)
        if not self._catalog.arrangement.is_on(route):
            return
        value = {"reason": MODEL_GONE, _RETRY_TIME: (self._clock() + self._gone_pause).isoformat()}
        try:
            is_first = await self._store.change(_ROUTE + str(route), value, actor=_UPSTREAM, only_if_unset=True)
        except Flow2APIError as error:
            # The next one that is sent there tells it again.
            log.warning("route_not_switched_off", route=str(route), reason=error.reason)
            return
        if is_first:
            ROUTES_GONE_TOTAL.labels(provider).inc()
            log.warning("route_switched_off", route=str(route), reason=MODEL_GONE, retry_time=value[_RETRY_TIME])

    def _arrange(self, values: Values) -> None:
        arrangement = _arrangement(values)
        self._catalog.arrange(arrangement)
        counts = Counter((route.provider, _switched_by(values[_ROUTE + str(route)])) for route in arrangement.off)
        ROUTES_OFF.clear()
        for (provider, by), count in counts.items():
            ROUTES_OFF.labels(provider, by).set(count)

    async def _ask_everywhere(self, route: RouteId) -> None:
        try:
            await self._pool.forget_absence(route.provider, route.upstream_model)
        except Flow2APIError as error:
            # The switch counts all the same; locations that had not got the model are asked when their rest is over.
            log.warning("absence_not_forgotten", route=str(route), reason=error.reason)

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
    gone: set[RouteId] = set()
    order: dict[str, tuple[RouteId, ...]] = {}
    for name, kept in values.items():
        if name.startswith(_ROUTE) and (route := RouteId.parse(name.removeprefix(_ROUTE))) is not None:
            off.add(route)
            if _switched_by(kept) == _UPSTREAM:
                gone.add(route)
        elif name.startswith(_ORDER):
            order[name.removeprefix(_ORDER)] = _parsed_order(kept.value)
    return Arrangement(frozenset(off), order, frozenset(gone))


def _switched_by(kept: Kept) -> str:
    return _UPSTREAM if kept.actor == _UPSTREAM else "operator"


def _retry_time(kept: Kept) -> datetime | None:
    text = kept.value.get(_RETRY_TIME) if isinstance(kept.value, dict) and kept.actor == _UPSTREAM else None
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _parsed_order(value: Any) -> tuple[RouteId, ...]:
    texts = value if isinstance(value, list) else []
    return tuple(route for text in texts if (route := RouteId.parse(str(text))) is not None)
