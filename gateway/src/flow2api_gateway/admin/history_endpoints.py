"""``/admin/tokens/{id}/events`` and ``/admin/audit``: what has happened, and who has done it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.audit_pages import audit_page
from flow2api_gateway.admin.pages import page_headers, page_limit
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.admin.token_json import state_name, token_id_of
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS
from flow2api_proto.tokens.v1 import token_service_pb2

router: Final = APIRouter(tags=["administration"])
_MAX_PAGE: Final = 1000


@router.get("/admin/tokens/{token_id}/events", summary="What has happened to a token", responses=ERRORS)
async def token_events(
    token_id: str,
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
) -> Response:
    """Changes of its health, newest first; the header ``x-next-page-token`` names the next page."""
    listing = token_service_pb2.ListTokenEventsRequest(
        token_id=token_id_of(token_id), page_size=page_limit(limit, _MAX_PAGE), page_token=page_token
    )
    with rpc_errors("token"):
        page = await gateway.peers.tokens.ListTokenEvents(listing)
    return json_response([_event_json(event) for event in page.events], headers=page_headers(page.next_page_token))


@router.get("/admin/audit", summary="Who has changed what", responses=ERRORS)
async def audit(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
) -> Response:
    """Administrative changes, those of settings and routes among them, newest first; the header ``x-next-page-token``
    names the next page."""
    page = await audit_page(gateway, size=page_limit(limit, _MAX_PAGE), page_token=page_token)
    return json_response(page.entries, headers=page_headers(page.next_page_token))


def _event_json(event: token_service_pb2.TokenEvent) -> dict[str, Any]:
    return {
        "id": event.event_id,
        "token_id": event.token_id,
        "time": iso_time(event, "event_time"),
        "actor": event.actor,
        "cause": event.cause,
        "detail": event.detail or None,
        "state_before": state_name(event.state_before) if event.state_before else None,
        "state_after": state_name(event.state_after),
        "reason": event.reason or None,
        "until": iso_time(event, "until_time"),
        "upstream_model": event.upstream_model or None,
        "consecutive_error_count": event.consecutive_error_count,
    }
