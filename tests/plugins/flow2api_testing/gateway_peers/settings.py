"""Settings and routes that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

from typing import Any

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_proto.generation.v1 import settings_service_pb2 as pb
from flow2api_proto.generation.v1 import settings_service_pb2_grpc


class FakeSettings(settings_service_pb2_grpc.SettingsServiceServicer):
    """One setting and one model with two routes; keeps who has changed what."""

    def __init__(self) -> None:
        self.setting = pb.Setting(name="media_retention", description="…", value_json="60", default_json="60")
        self.model = pb.ModelRoutes(
            model_id="veo-3.1-fast",
            routes=[
                pb.RouteState(provider="vertex", upstream_model="veo", enabled=True),
                pb.RouteState(provider="flow", upstream_model="veo_3", enabled=True),
            ],
        )
        self.actors: list[str] = []
        self.changes = [pb.SettingChange(change_id=7, name="setting:media_retention", actor="admin:a", after_json="30")]
        self.orders: list[list[str]] = []

    def _acts(self, context: Any) -> None:
        self.actors += [value.decode() for key, value in context.invocation_metadata() if key == "x-flow2api-actor-bin"]

    async def ListSettings(self, request: Any, context: Any) -> Any:
        return pb.ListSettingsResponse(settings=[self.setting])

    async def UpdateSetting(self, request: Any, context: Any) -> Any:
        self._acts(context)
        if request.name != self.setting.name:
            raise NotFound("There is no such setting.", reason="SETTING_NOT_FOUND")
        if request.value_json == "true":
            raise InvalidArgument.of("value_json", "It is a number.")
        self.setting.value_json = request.value_json or self.setting.default_json
        return pb.UpdateSettingResponse(setting=self.setting)

    async def UpdateSettings(self, request: Any, context: Any) -> Any:
        if any(change.value_json == "true" for change in request.changes):
            raise InvalidArgument.of(self.setting.name, "It is a number.")
        answers = [await self.UpdateSetting(change, context) for change in request.changes]
        return pb.UpdateSettingsResponse(settings=[answer.setting for answer in answers])

    async def ListRoutes(self, request: Any, context: Any) -> Any:
        return pb.ListRoutesResponse(models=[self.model])

    async def UpdateRoute(self, request: Any, context: Any) -> Any:
        self._acts(context)
        for route in self.model.routes:
            if (route.provider, route.upstream_model) == (request.provider, request.upstream_model):
                route.enabled, route.reason = request.enabled, request.reason
                return pb.UpdateRouteResponse(models=[self.model])
        raise NotFound("There is no such route.", reason="MODEL_ROUTE_NOT_FOUND")

    async def UpdateRouteOrder(self, request: Any, context: Any) -> Any:
        self._acts(context)
        if "nowhere" in request.routes:
            raise InvalidArgument.of("routes", "Each route can stand there once.")
        self.orders.append(list(request.routes))
        return pb.UpdateRouteOrderResponse(models=[self.model])

    async def ListSettingChanges(self, request: Any, context: Any) -> Any:
        before = int(request.page_token or 10**9)
        older = [change for change in self.changes if change.change_id < before]
        page = older[: request.page_size]
        has_more = len(older) > len(page)
        return pb.ListSettingChangesResponse(changes=page, next_page_token=str(page[-1].change_id) if has_more else "")
