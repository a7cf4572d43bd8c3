"""``/admin/keys``: the API keys of clients."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.schemas import KeyCreateBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.access.v1 import access_service_pb2

router: Final = APIRouter(tags=["administration"])
_PAGE: Final = 1000


@router.get("/admin/keys", summary="List API keys", responses=ERRORS)
async def list_keys(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """All keys, revoked ones included; a secret is shown only when its key is made."""
    keys: list[dict[str, Any]] = []
    page_token = ""
    while True:
        with rpc_errors("token"):
            page = await gateway.peers.access.ListApiKeys(
                access_service_pb2.ListApiKeysRequest(page_size=_PAGE, page_token=page_token)
            )
        keys.extend(key_json(key) for key in page.api_keys)
        page_token = page.next_page_token
        if not page_token:
            return json_response(keys)


@router.post("/admin/keys", summary="Make an API key", openapi_extra=takes_json(KeyCreateBody), responses=ERRORS)
async def make_key(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """The answer holds the secret as ``key``, this once."""
    body = await read_json(request, KeyCreateBody, gateway.settings.max_body_bytes)
    creation = access_service_pb2.CreateApiKeyRequest(
        name=body.name,
        max_concurrency=body.max_concurrency,
        expire_time=Timestamp(seconds=body.expires_at) if body.expires_at else None,
        secret=body.key.get_secret_value() if body.key else "",
    )
    with client_fields({"secret": "key", "expire_time": "expires_at"}), rpc_errors("token"):
        answer = await gateway.peers.access.CreateApiKey(creation, metadata=acting(admin))
    return json_response(key_json(answer.api_key) | {"key": answer.secret}, headers={"cache-control": "no-store"})


@router.delete("/admin/keys/{key_id}", summary="Revoke an API key", responses=ERRORS)
async def revoke_key(key_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Ends the key for good. Safe to repeat."""
    with rpc_errors("token"):
        answer = await gateway.peers.access.RevokeApiKey(
            access_service_pb2.RevokeApiKeyRequest(api_key_id=key_id), metadata=acting(admin)
        )
    return json_response(key_json(answer.api_key))


def key_json(key: access_service_pb2.ApiKey) -> dict[str, Any]:
    """A key without its secret."""
    return {
        "id": key.api_key_id,
        "name": key.name,
        "prefix": key.prefix,
        "max_concurrency": key.max_concurrency,
        "is_active": not key.HasField("revoke_time"),
        "created_at": iso_time(key, "create_time"),
        "revoked_at": iso_time(key, "revoke_time"),
        "expires_at": iso_time(key, "expire_time"),
    }
