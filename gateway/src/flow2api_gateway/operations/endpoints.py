"""``/healthz``, ``/readyz``, ``/metrics`` and the front door."""

from __future__ import annotations

import asyncio
from typing import Any, Final, cast

import grpc
from fastapi import APIRouter
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from flow2api_common.errors import Flow2APIError
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import Gateway, GatewayDep

router: Final = APIRouter(tags=["operations"])
_CHECK_SECONDS: Final = 2.0


@router.get("/", summary="What this is")
async def front_door(gateway: GatewayDep) -> Response:
    """Names and places."""
    return json_response(
        {
            "name": "flow2api",
            "description": "OpenAI-compatible door to Google's image and video generation.",
            "base_url": f"{gateway.links.base_url}/v1",
            "docs": "/docs",
            "openapi": "/openapi.json",
        }
    )


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> Response:
    """Always ok while the event loop turns."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    summary="Whether requests can be served",
    responses={503: {"description": "Not now: `checks` says what is missing."}},
)
async def readyz(gateway: GatewayDep) -> Response:
    """200 when every service behind and the media store answer; 503 otherwise and while shutting down."""
    names = list(gateway.peers.health)
    results = await asyncio.gather(
        *(_is_serving(gateway.peers.health[name]) for name in names), _store_answers(gateway)
    )
    checks = dict(zip([*names, "media_store"], results, strict=True))
    is_ready = all(checks.values()) and not gateway.drain.is_draining
    body = {
        "status": "ready" if is_ready else "draining" if gateway.drain.is_draining else "not_ready",
        "checks": {name: "ok" if passed else "unavailable" for name, passed in checks.items()},
    }
    return json_response(body, status=200 if is_ready else 503)


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def metrics() -> Response:
    """All metrics of this process."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


async def _is_serving(health: health_pb2_grpc.HealthStub) -> bool:
    check = cast("Any", health).Check  # The stubs of grpc_health know only the blocking channel.
    try:
        answer = await check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
    except grpc.aio.AioRpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _store_answers(gateway: Gateway) -> bool:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await gateway.media_store.ping()
    except (Flow2APIError, TimeoutError):
        return False
    return True
