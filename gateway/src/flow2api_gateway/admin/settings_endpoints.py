"""``/admin/settings`` and ``/admin/routes``: what can be changed while everything runs."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.pages import page_headers, page_limit
from flow2api_gateway.admin.schemas import RouteChangeBody, SettingsChangeBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import read_json, read_json_object
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import Gateway, GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.access.v1 import access_service_pb2
from flow2api_proto.generation.v1 import settings_service_pb2 as pb

router: Final = APIRouter(tags=["administration"])

_MAX_PAGE: Final = 1000
_MOST_SETTINGS: Final = 50


@router.get("/admin/settings", summary="List the settings that can be changed", responses=ERRORS)
async def list_settings(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """With their values, what they are without a change, and who has changed them."""
    return await _settings(gateway)


@router.put(
    "/admin/settings", summary="Change settings", openapi_extra=takes_json(SettingsChangeBody), responses=ERRORS
)
@router.patch(
    "/admin/settings", summary="Change settings", openapi_extra=takes_json(SettingsChangeBody), responses=ERRORS
)
async def change_settings(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """New values by name; null takes a change back, and what is left out stays. When one value is refused, none is
    changed. Every replica knows them within a second."""
    values = await read_json_object(request, gateway.settings.max_body_bytes)
    if not values:
        raise InvalidArgument("The request names nothing to change.", reason="MISSING_PARAMETER")
    if len(values) > _MOST_SETTINGS:
        raise InvalidArgument(f"At most {_MOST_SETTINGS} settings are changed in one request.")
    changes = [
        pb.UpdateSettingRequest(name=name, value_json="" if value is None else orjson.dumps(value).decode())
        for name, value in values.items()
    ]
    with rpc_errors("generation"):
        await gateway.peers.settings.UpdateSettings(pb.UpdateSettingsRequest(changes=changes), metadata=acting(admin))
    return await _settings(gateway)


@router.get("/admin/settings/changes", summary="What was changed, and who did it", responses=ERRORS)
async def list_changes(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
) -> Response:
    """Settings and routes, newest first; the header ``x-next-page-token`` names the next page."""
    listing = pb.ListSettingChangesRequest(page_size=page_limit(limit, _MAX_PAGE), page_token=page_token)
    with rpc_errors("generation"):
        page = await gateway.peers.settings.ListSettingChanges(listing)
    return json_response([_change_json(each) for each in page.changes], headers=page_headers(page.next_page_token))


@router.get("/admin/routes", summary="List the routes of the models", responses=ERRORS)
async def list_routes(
    _admin: AdminDep,
    gateway: GatewayDep,
    model: Annotated[str, Query(description="Only of this public model.")] = "",
) -> Response:
    """By public model, in the order in which they are tried."""
    with rpc_errors("generation"):
        answer = await gateway.peers.settings.ListRoutes(pb.ListRoutesRequest(model_id=model))
    return json_response([_routes_json(each) for each in answer.models])


@router.put(
    "/admin/routes", summary="Switch or reorder routes", openapi_extra=takes_json(RouteChangeBody), responses=ERRORS
)
async def change_routes(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """``route`` with ``enabled`` switches a route for all models that have it; ``model`` with ``order`` sets the order
    of a model, or of those that fit a pattern with ``*``. Answers the models that it is about."""
    body = await read_json(request, RouteChangeBody, gateway.settings.max_body_bytes)
    if (body.route is None) != (body.enabled is None):
        raise InvalidArgument.of("route" if body.route is None else "enabled", "'route' and 'enabled' belong together.")
    if (body.model is None) != (body.order is None):
        raise InvalidArgument.of("model" if body.model is None else "order", "'model' and 'order' belong together.")
    changed: dict[str, pb.ModelRoutes] = {}
    if body.route is not None and body.enabled is not None:
        models = await _switch(gateway, admin, body.route, is_on=body.enabled, reason=body.reason or "")
        changed |= {each.model_id: each for each in models}
    if body.model is not None and body.order is not None:
        order = pb.UpdateRouteOrderRequest(model_id=body.model, routes=body.order)
        with client_fields({"routes": "order"}), rpc_errors("generation"):
            answer = await gateway.peers.settings.UpdateRouteOrder(order, metadata=acting(admin))
        changed |= {each.model_id: each for each in answer.models}
    if not changed:
        raise InvalidArgument("The request names nothing to change.", reason="MISSING_PARAMETER")
    return json_response([_routes_json(each) for each in changed.values()])


async def _settings(gateway: Gateway) -> Response:
    with rpc_errors("generation"):
        answer = await gateway.peers.settings.ListSettings(pb.ListSettingsRequest())
    return json_response([_setting_json(each) for each in answer.settings])


async def _switch(
    gateway: Gateway, admin: access_service_pb2.Admin, route: str, *, is_on: bool, reason: str
) -> list[pb.ModelRoutes]:
    provider, _, upstream_model = route.partition("/")
    update = pb.UpdateRouteRequest(provider=provider, upstream_model=upstream_model, enabled=is_on, reason=reason)
    with rpc_errors("generation"):
        answer = await gateway.peers.settings.UpdateRoute(update, metadata=acting(admin))
    return list(answer.models)


def _setting_json(setting: pb.Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "description": setting.description,
        "value": orjson.loads(setting.value_json),
        "default": orjson.loads(setting.default_json),
        "changed": setting.changed,
        "changed_at": iso_time(setting, "update_time"),
        "changed_by": setting.actor or None,
    }


def _routes_json(model: pb.ModelRoutes) -> dict[str, Any]:
    return {
        "model": model.model_id,
        "reordered": model.reordered,
        "routes": [
            {
                "route": f"{route.provider}/{route.upstream_model}",
                "enabled": route.enabled,
                "reason": route.reason or None,
                "changed_at": iso_time(route, "update_time"),
                "changed_by": route.actor or None,
                "retry_at": iso_time(route, "retry_time"),
            }
            for route in model.routes
        ],
    }


def _change_json(change: pb.SettingChange) -> dict[str, Any]:
    return {
        "id": change.change_id,
        "name": change.name,
        "changed_by": change.actor,
        "before": orjson.loads(change.before_json) if change.before_json else None,
        "after": orjson.loads(change.after_json) if change.after_json else None,
        "created_at": iso_time(change, "create_time"),
    }
