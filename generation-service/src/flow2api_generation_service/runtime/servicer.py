"""The gRPC edge of what is changed at run time: each RPC handed to its use case."""

from __future__ import annotations

import json
from typing import Any, Final, TypeAlias

import grpc

from flow2api_common.errors import InvalidArgument
from flow2api_generation_service.catalog.arrangement import RouteId
from flow2api_generation_service.runtime.live_settings import LiveSetting, LiveSettings
from flow2api_generation_service.runtime.models import SettingChangeRow
from flow2api_generation_service.runtime.routes import Routes, RoutesOfModel
from flow2api_generation_service.runtime.store import SettingStore
from flow2api_proto.generation.v1 import settings_service_pb2 as pb
from flow2api_proto.generation.v1 import settings_service_pb2_grpc

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

ACTOR_KEY: Final = "x-flow2api-actor-bin"
_SERVICE: Final = "service"
_MAX_ACTOR: Final = 120
_DEFAULT_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
_MAX_VALUE: Final = 10_000


class SettingsServicer(settings_service_pb2_grpc.SettingsServiceServicer):
    """Implements flow2api.generation.v1.SettingsService."""

    def __init__(self, *, settings: LiveSettings, routes: Routes, store: SettingStore) -> None:
        self._settings = settings
        self._routes = routes
        self._store = store

    async def ListSettings(  # noqa: N802 - the name of the RPC
        self, request: pb.ListSettingsRequest, context: _Context
    ) -> pb.ListSettingsResponse:
        """Those that can be changed."""
        del request, context
        await self._store.read()
        return pb.ListSettingsResponse(settings=map(_setting, self._settings.all()))

    async def UpdateSetting(  # noqa: N802
        self, request: pb.UpdateSettingRequest, context: _Context
    ) -> pb.UpdateSettingResponse:
        """Change one."""
        value = _value(request.value_json)
        setting = await self._settings.change(request.name, value, actor=_actor(context))
        return pb.UpdateSettingResponse(setting=_setting(setting))

    async def UpdateSettings(  # noqa: N802
        self, request: pb.UpdateSettingsRequest, context: _Context
    ) -> pb.UpdateSettingsResponse:
        """Change several at once."""
        changes = [(each.name, _value(each.value_json, each.name)) for each in request.changes]
        settings = await self._settings.change_all(changes, actor=_actor(context))
        return pb.UpdateSettingsResponse(settings=map(_setting, settings))

    async def ListRoutes(self, request: pb.ListRoutesRequest, context: _Context) -> pb.ListRoutesResponse:  # noqa: N802
        """The routes of every model."""
        del context
        await self._store.read()
        return pb.ListRoutesResponse(models=map(_routes, self._routes.of_models(request.model_id)))

    async def UpdateRoute(self, request: pb.UpdateRouteRequest, context: _Context) -> pb.UpdateRouteResponse:  # noqa: N802
        """Switch one."""
        models = await self._routes.switch(
            RouteId(request.provider, request.upstream_model),
            is_on=request.enabled,
            reason=request.reason,
            actor=_actor(context),
        )
        return pb.UpdateRouteResponse(models=map(_routes, models))

    async def UpdateRouteOrder(  # noqa: N802
        self, request: pb.UpdateRouteOrderRequest, context: _Context
    ) -> pb.UpdateRouteOrderResponse:
        """Reorder a model's."""
        models = await self._routes.reorder(request.model_id, list(request.routes), actor=_actor(context))
        return pb.UpdateRouteOrderResponse(models=map(_routes, models))

    async def ListSettingChanges(  # noqa: N802
        self, request: pb.ListSettingChangesRequest, context: _Context
    ) -> pb.ListSettingChangesResponse:
        """What was changed."""
        del context
        if not 0 <= request.page_size <= _LARGEST_PAGE:
            raise InvalidArgument.of("page_size", f"A page has 1 to {_LARGEST_PAGE} changes.")
        if request.page_token and not (request.page_token.isdecimal() and len(request.page_token) < 19):
            raise InvalidArgument.of("page_token", "The page token is not one of ours.")
        size = request.page_size or _DEFAULT_PAGE
        before_id = int(request.page_token) if request.page_token else None
        rows = await self._store.changes(before_id=before_id, limit=size + 1)
        return pb.ListSettingChangesResponse(
            changes=map(_change, rows[:size]),
            next_page_token=str(rows[size - 1].change_id) if len(rows) > size else "",
        )


def _setting(setting: LiveSetting) -> pb.Setting:
    message = pb.Setting(
        name=setting.name,
        description=setting.description,
        value_json=json.dumps(setting.value),
        default_json=json.dumps(setting.default),
        changed=setting.kept is not None,
        actor=setting.kept.actor if setting.kept else "",
    )
    if setting.kept is not None:
        message.update_time.FromDatetime(setting.kept.update_time)
    return message


def _routes(model: RoutesOfModel) -> pb.ModelRoutes:
    message = pb.ModelRoutes(model_id=model.model_id, reordered=model.is_reordered)
    for state in model.routes:
        row = message.routes.add(
            provider=state.route.provider,
            upstream_model=state.route.upstream_model,
            enabled=state.off is None,
            reason=state.reason,
            actor=state.off.actor if state.off else "",
        )
        if state.off is not None:
            row.update_time.FromDatetime(state.off.update_time)
        if state.retry_time is not None:
            row.retry_time.FromDatetime(state.retry_time)
    return message


def _change(row: SettingChangeRow) -> pb.SettingChange:
    message = pb.SettingChange(
        change_id=row.change_id,
        name=row.name,
        actor=row.actor,
        before_json="" if row.before is None else json.dumps(row.before),
        after_json="" if row.after is None else json.dumps(row.after),
    )
    message.create_time.FromDatetime(row.create_time)
    return message


def _value(text: str, field: str = "value_json") -> Any:
    if not text:
        return None
    if len(text) > _MAX_VALUE:
        raise InvalidArgument.of(field, f"A value has at most {_MAX_VALUE} characters.")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgument.of(field, "The value is not JSON.") from error


def _actor(context: _Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == ACTOR_KEY and isinstance(value, bytes):
            return value.decode("utf-8", "replace").replace("\0", "")[:_MAX_ACTOR] or _SERVICE
    return _SERVICE
