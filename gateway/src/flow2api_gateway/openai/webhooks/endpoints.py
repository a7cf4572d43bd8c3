"""``/v1/webhook_endpoints``: the receivers that an API key has registered."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query
from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.auth.dependencies import ApiKeyDep
from flow2api_gateway.edge.bodies import content_type_of, read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_gateway.openai.webhooks.grpc_to_webhooks import endpoint_list, endpoint_object
from flow2api_gateway.openai.webhooks.schemas import (
    EndpointCreateRequest,
    EndpointTestRequest,
    EndpointUpdateRequest,
    SecretRotateRequest,
)
from flow2api_proto.generation.v1 import webhook_service_pb2

router: Final = APIRouter(tags=["webhooks"])

_PATH: Final = "/v1/webhook_endpoints"
_MAX_PAGE: Final = 100
_KEPT_SECRET: Final = timedelta(hours=24)
_EVENT_TYPES: Final = ("video.completed", "video.failed", "image_job.completed", "image_job.failed")
_NO_STORE: Final = {"cache-control": "no-store"}


@router.post(_PATH, summary="Register a receiver", openapi_extra=takes_json(EndpointCreateRequest), responses=ERRORS)
async def create(request: Request, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """The answer holds the ``signing_secret``, this once."""
    body = await read_json(request, EndpointCreateRequest, gateway.settings.max_body_bytes)
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.CreateWebhookEndpoint(
            webhook_service_pb2.CreateWebhookEndpointRequest(
                api_key_id=api_key.api_key_id, name=body.name, url=body.url, event_types=body.event_types
            )
        )
    document = endpoint_object(answer.webhook_endpoint, signing_secret=answer.signing_secret)
    return json_response(document, headers=_NO_STORE)


@router.get(_PATH, summary="List receivers", responses=ERRORS)
async def list_all(
    api_key: ApiKeyDep,
    gateway: GatewayDep,
    after: Annotated[str, Query()] = "",
    limit: Annotated[str, Query()] = "20",
) -> Response:
    """The receivers of this key, newest first; the next page begins ``after`` the last id of this one."""
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MAX_PAGE):
        raise InvalidArgument.of("limit", f"'limit' must be between 1 and {_MAX_PAGE}.")
    with rpc_errors("generation"):
        page = await gateway.peers.webhooks.ListWebhookEndpoints(
            webhook_service_pb2.ListWebhookEndpointsRequest(
                api_key_id=api_key.api_key_id, page_size=int(limit), page_token=after
            )
        )
    return json_response(endpoint_list(page.webhook_endpoints, has_more=bool(page.next_page_token)))


@router.get("/v1/webhook_event_types", summary="List event types", responses=ERRORS)
async def list_event_types(_api_key: ApiKeyDep) -> Response:
    """What receivers can be told of."""
    return json_response({"object": "list", "data": list(_EVENT_TYPES)})


@router.get(_PATH + "/{endpoint_id}", summary="Read a receiver", responses=ERRORS)
async def read(endpoint_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Without its secret."""
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.GetWebhookEndpoint(
            webhook_service_pb2.GetWebhookEndpointRequest(
                webhook_endpoint_id=endpoint_id, api_key_id=api_key.api_key_id
            )
        )
    return json_response(endpoint_object(answer.webhook_endpoint))


@router.post(
    _PATH + "/{endpoint_id}",
    summary="Change a receiver",
    openapi_extra=takes_json(EndpointUpdateRequest),
    responses=ERRORS,
)
async def update(request: Request, endpoint_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Changes what is named. A new URL enables it again."""
    body = await read_json(request, EndpointUpdateRequest, gateway.settings.max_body_bytes)
    fields = body.model_dump(exclude_none=True)
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.UpdateWebhookEndpoint(
            webhook_service_pb2.UpdateWebhookEndpointRequest(
                webhook_endpoint=webhook_service_pb2.WebhookEndpoint(webhook_endpoint_id=endpoint_id, **fields),
                update_mask=FieldMask(paths=list(fields)),
                api_key_id=api_key.api_key_id,
            )
        )
    return json_response(endpoint_object(answer.webhook_endpoint))


@router.delete(_PATH + "/{endpoint_id}", summary="Remove a receiver", responses=ERRORS)
async def delete(endpoint_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """What waits for it is given up."""
    with rpc_errors("generation"):
        await gateway.peers.webhooks.DeleteWebhookEndpoint(
            webhook_service_pb2.DeleteWebhookEndpointRequest(
                webhook_endpoint_id=endpoint_id, api_key_id=api_key.api_key_id
            )
        )
    return json_response({"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True})


@router.post(
    _PATH + "/{endpoint_id}/rotate_secret",
    summary="Exchange the signing secret",
    openapi_extra=takes_json(SecretRotateRequest),
    responses=ERRORS,
)
async def rotate_secret(request: Request, endpoint_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """The answer holds the new ``signing_secret``, this once."""
    body = SecretRotateRequest()
    if content_type_of(request):  # The SDK sends no body when nothing is asked for.
        body = await read_json(request, SecretRotateRequest, gateway.settings.max_body_bytes)
    rotation = webhook_service_pb2.RotateWebhookSecretRequest(
        webhook_endpoint_id=endpoint_id, api_key_id=api_key.api_key_id
    )
    if body.keep_old_secret_active_for_24_hours:
        rotation.keep_old_duration.FromTimedelta(_KEPT_SECRET)
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.RotateWebhookSecret(rotation)
    document = endpoint_object(answer.webhook_endpoint, signing_secret=answer.signing_secret)
    return json_response(document, headers=_NO_STORE)


@router.post(
    _PATH + "/{endpoint_id}/test",
    summary="Send a sample event",
    openapi_extra=takes_json(EndpointTestRequest),
    responses=ERRORS,
)
async def test(request: Request, endpoint_id: str, api_key: ApiKeyDep, gateway: GatewayDep) -> Response:
    """Once and at once; answers the status that the receiver gave."""
    body = await read_json(request, EndpointTestRequest, gateway.settings.max_body_bytes)
    with rpc_errors("generation"):
        answer = await gateway.peers.webhooks.TestWebhookEndpoint(
            webhook_service_pb2.TestWebhookEndpointRequest(
                webhook_endpoint_id=endpoint_id, api_key_id=api_key.api_key_id, event_type=body.event_type
            )
        )
    return json_response(
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": endpoint_id,
            "event_type": body.event_type,
            "status_code": answer.status_code,
            "success": True,
        }
    )
