"""``/admin/webhooks``: the ledger of deliveries, and every registered receiver."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.pages import page_headers, page_limit
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS
from flow2api_gateway.openai.webhooks.grpc_to_webhooks import endpoint_object
from flow2api_proto.generation.v1 import webhook_service_pb2

router: Final = APIRouter(tags=["administration"])

_MAX_PAGE: Final = 1000
_MAX_ENDPOINTS_PAGE: Final = 100
_STATES: Final = {
    "": webhook_service_pb2.WEBHOOK_DELIVERY_STATE_UNSPECIFIED,
    "pending": webhook_service_pb2.WEBHOOK_DELIVERY_STATE_PENDING,
    "delivered": webhook_service_pb2.WEBHOOK_DELIVERY_STATE_DELIVERED,
    "failed": webhook_service_pb2.WEBHOOK_DELIVERY_STATE_FAILED,
}
_STATE_NAMES: Final = {state: name for name, state in _STATES.items() if name}


@router.get("/admin/webhooks/deliveries", summary="The ledger of webhooks", responses=ERRORS)
async def list_deliveries(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
    state: Annotated[str, Query()] = "",
    video_id: Annotated[str, Query()] = "",
    endpoint_id: Annotated[str, Query()] = "",
    api_key_id: Annotated[str, Query()] = "",
) -> Response:
    """Deliveries, newest first; the header ``x-next-page-token`` names the next page."""
    if state not in _STATES:
        raise InvalidArgument.of("state", f"'state' must be one of {', '.join(_STATE_NAMES.values())}.")
    listing = webhook_service_pb2.ListWebhookDeliveriesRequest(
        page_size=page_limit(limit, _MAX_PAGE),
        page_token=page_token,
        state=_STATES[state],
        video_id=video_id,
        webhook_endpoint_id=endpoint_id,
        api_key_id=api_key_id,
    )
    with rpc_errors("generation"):
        page = await gateway.peers.webhooks.ListWebhookDeliveries(listing)
    return json_response(
        [delivery_json(delivery) for delivery in page.webhook_deliveries], headers=page_headers(page.next_page_token)
    )


@router.get("/admin/webhooks/deliveries/{delivery_id}", summary="One delivery", responses=ERRORS)
async def read_delivery(delivery_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """With its attempts, and what is posted."""
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.GetWebhookDelivery(
            webhook_service_pb2.GetWebhookDeliveryRequest(webhook_delivery_id=delivery_id)
        )
    attempts = [_attempt_json(attempt) for attempt in answer.attempts]
    return json_response(delivery_json(answer.webhook_delivery) | {"attempts": attempts, "payload": answer.payload})


@router.post("/admin/webhooks/deliveries/{delivery_id}/replay", summary="Send a delivery again", responses=ERRORS)
async def replay_delivery(delivery_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """Under the same ``webhook-id``, with another day of attempts. Safe to repeat."""
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.ReplayWebhookDelivery(
            webhook_service_pb2.ReplayWebhookDeliveryRequest(webhook_delivery_id=delivery_id)
        )
    return json_response(delivery_json(answer.webhook_delivery))


@router.get("/admin/webhooks/endpoints", summary="Registered receivers", responses=ERRORS)
async def list_endpoints(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
) -> Response:
    """Those of all keys, newest first; the header ``x-next-page-token`` names the next page."""
    with rpc_errors("generation"):
        page = await gateway.peers.webhooks.ListWebhookEndpoints(
            webhook_service_pb2.ListWebhookEndpointsRequest(
                page_size=page_limit(limit, _MAX_ENDPOINTS_PAGE), page_token=page_token
            )
        )
    endpoints = [endpoint_object(each) | {"api_key_id": each.api_key_id} for each in page.webhook_endpoints]
    return json_response(endpoints, headers=page_headers(page.next_page_token))


def delivery_json(delivery: webhook_service_pb2.WebhookDelivery) -> dict[str, Any]:
    """A row of the ledger."""
    duration = delivery.last_duration.ToMilliseconds() if delivery.HasField("last_duration") else None
    return {
        "id": delivery.webhook_delivery_id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "video_id": delivery.video_id,
        "api_key_id": delivery.api_key_id,
        "endpoint_id": delivery.webhook_endpoint_id or None,
        "url": delivery.url,
        "state": _STATE_NAMES[delivery.state],
        "attempt_count": delivery.attempt_count,
        "last_status_code": delivery.last_status_code or None,
        "last_error": delivery.last_error or None,
        "last_duration_ms": duration,
        "next_attempt_at": iso_time(delivery, "next_attempt_time"),
        "give_up_at": iso_time(delivery, "give_up_time"),
        "created_at": iso_time(delivery, "create_time"),
        "completed_at": iso_time(delivery, "complete_time"),
    }


def _attempt_json(attempt: webhook_service_pb2.WebhookAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "time": iso_time(attempt, "attempt_time"),
        "status_code": attempt.status_code or None,
        "error": attempt.error or None,
        "duration_ms": attempt.duration.ToMilliseconds(),
    }
