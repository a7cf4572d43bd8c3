"""The HTTP application: every route, and an envelope for every error of the framework."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from flow2api_common.byte_turns import ByteTurns
from flow2api_common.errors import Flow2APIError, InvalidArgument, NotFound, RequestError
from flow2api_common.logs import get_logger
from flow2api_gateway.admin import (
    admin_endpoints,
    attempt_endpoints,
    history_endpoints,
    key_endpoints,
    ledger_endpoints,
    login_endpoints,
    overview_endpoints,
    project_endpoints,
    proxy_endpoints,
    settings_endpoints,
    token_endpoints,
    transfer_endpoints,
    webhook_endpoints,
)
from flow2api_gateway.documented_app import DocumentedApp
from flow2api_gateway.edge.head_requests import HeadRequests
from flow2api_gateway.edge.paths import TrailingSlash
from flow2api_gateway.edge.request_scope import RequestScope
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.edge.validation import param_path
from flow2api_gateway.errors.rendering import render_error
from flow2api_gateway.gateway import Gateway
from flow2api_gateway.gemini import models_endpoints as gemini_models_endpoints
from flow2api_gateway.gemini.content import count_endpoint as gemini_count_endpoint
from flow2api_gateway.gemini.content import endpoints as gemini_content_endpoints
from flow2api_gateway.gemini.dialect import GoogleDialect
from flow2api_gateway.gemini.files import endpoints as gemini_file_endpoints
from flow2api_gateway.gemini.files import upload_endpoint as gemini_upload_endpoint
from flow2api_gateway.gemini.interactions import endpoints as gemini_interaction_endpoints
from flow2api_gateway.gemini.videos import endpoints as gemini_video_endpoints
from flow2api_gateway.media import endpoints as media_endpoints
from flow2api_gateway.openai import models_endpoints
from flow2api_gateway.openai.chat import endpoints as chat_endpoints
from flow2api_gateway.openai.images import endpoints as image_endpoints
from flow2api_gateway.openai.images import job_endpoints as image_job_endpoints
from flow2api_gateway.openai.videos import content_endpoint, events_endpoint, from_video_endpoints
from flow2api_gateway.openai.videos import endpoints as video_endpoints
from flow2api_gateway.openai.webhooks import endpoints as receiver_endpoints
from flow2api_gateway.operations import endpoints as operation_endpoints

_ROUTERS: Final = (
    operation_endpoints.router,
    gemini_content_endpoints.router,
    gemini_count_endpoint.router,
    gemini_video_endpoints.router,
    gemini_file_endpoints.router,
    gemini_upload_endpoint.router,
    gemini_interaction_endpoints.router,
    gemini_models_endpoints.router,
    models_endpoints.router,
    chat_endpoints.router,
    image_endpoints.router,
    image_job_endpoints.router,
    from_video_endpoints.router,
    video_endpoints.router,
    content_endpoint.router,
    events_endpoint.router,
    receiver_endpoints.router,
    media_endpoints.router,
    login_endpoints.router,
    token_endpoints.router,
    transfer_endpoints.router,
    key_endpoints.router,
    project_endpoints.router,
    proxy_endpoints.router,
    admin_endpoints.router,
    overview_endpoints.router,
    attempt_endpoints.router,
    history_endpoints.router,
    ledger_endpoints.router,
    webhook_endpoints.router,
    settings_endpoints.router,
)
_EXPOSED_HEADERS: Final = (
    "x-request-id",
    "openai-processing-ms",
    "openai-poll-after-ms",
    "retry-after",
    "location",
    "preference-applied",
    "x-should-retry",
    "idempotency-replayed",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
)
log = get_logger(__name__)


def build_app(gateway: Gateway) -> FastAPI:
    """The application over the parts of ``gateway``; it owns none of them."""
    app = DocumentedApp(
        title="Flow2API",
        version="0.1.0",
        description="OpenAI-compatible door to Google's image and video generation.",
        redirect_slashes=False,
    )
    app.state.gateway = gateway
    app.state.body_turns = ByteTurns(gateway.settings.json_bytes_at_once)
    for router in _ROUTERS:
        app.include_router(router)
    app.add_exception_handler(Flow2APIError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_middleware(HeadRequests)
    if gateway.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=gateway.settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(
        RequestScope, patience=gateway.settings.patience, is_https=gateway.links.base_url.startswith("https://")
    )
    app.add_middleware(GoogleDialect)
    app.add_middleware(TrailingSlash)
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, Flow2APIError):
        raise error
    rendered = render_error(error, path=request.url.path)
    if rendered.status >= 500:
        log.warning("request_refused", reason=error.reason, message=error.message, status=rendered.status)
    return json_response(rendered.body, status=rendered.status, headers=rendered.headers)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Errors of the framework itself: unknown paths and methods, and whatever else it may raise."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    own: Flow2APIError
    if status == 404:
        own = NotFound(f"Invalid URL ({request.method} {request.url.path[:200]})", reason="ROUTE_NOT_FOUND")
    elif status == 405:
        own = RequestError(f"Method {request.method} is not supported here.", reason="METHOD_NOT_SUPPORTED")
    else:
        own = InvalidArgument("The request is not valid.", reason="INVALID_REQUEST")
    response = await _on_error(request, own)
    if status == 405:
        response.headers["allow"] = ", ".join(sorted(_methods_of(request)))
    return response


def _methods_of(request: Request) -> set[str]:
    """What the path takes, by all of its routes: the framework knows those of the first that fits."""
    # The application itself has those of the documentation, and keeps the others inside its routers.
    routes = [*request.app.routes, *(route for router in _ROUTERS for route in router.routes)]
    fitting = [route for route in routes if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE]
    methods = {method for route in fitting for method in route.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Parameters of a path or a query that FastAPI refused. 400, as OpenAI answers; never 422."""
    details: list[Any] = list(error.errors()) if isinstance(error, RequestValidationError) else []
    steps = [step for step in details[0]["loc"] if step not in ("query", "path", "header")] if details else []
    own = InvalidArgument.of(param_path(steps), f"Invalid value for '{param_path(steps)}'.")
    return await _on_error(request, own)
