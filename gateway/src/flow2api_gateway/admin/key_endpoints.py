"""``/admin/keys``: the API keys of clients."""

from __future__ import annotations

from datetime import UTC
from typing import Any, Final

from fastapi import APIRouter
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.clock import utc_now
from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.schemas import KeyCreateBody, KeyUpdateBody
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
_UNLIMITED: Final = -1
_MICROS_PER_DOLLAR: Final = 1_000_000
# Fields of the RPCs that clients know under another name.
_FIELDS: Final = {"secret": "key", "expire_time": "expires_at", "daily_budget_micro_usd": "daily_budget_usd"}


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
        weight=body.weight,
        requests_per_minute=body.requests_per_minute,
        daily_credit_budget=body.daily_credit_budget,
        daily_budget_micro_usd=_micros(body.daily_budget_usd),
        allowed_models=body.allowed_models,
        expire_time=_time(body.expires_at),
        secret=body.key.get_secret_value() if body.key else "",
    )
    with client_fields(_FIELDS), rpc_errors("token"):
        answer = await gateway.peers.access.CreateApiKey(creation, metadata=acting(admin))
    return json_response(key_json(answer.api_key) | {"key": answer.secret}, headers={"cache-control": "no-store"})


@router.get("/admin/keys/{key_id}", summary="Read an API key", responses=ERRORS)
async def read_key(key_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """One key, without its secret."""
    with rpc_errors("token"):
        answer = await gateway.peers.access.GetApiKey(access_service_pb2.GetApiKeyRequest(api_key_id=key_id))
    return json_response(key_json(answer.api_key))


@router.put(
    "/admin/keys/{key_id}", summary="Change an API key", openapi_extra=takes_json(KeyUpdateBody), responses=ERRORS
)
@router.patch(
    "/admin/keys/{key_id}", summary="Change an API key", openapi_extra=takes_json(KeyUpdateBody), responses=ERRORS
)
async def change_key(request: Request, key_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Changes the fields that are sent; what is in flight goes on."""
    body = await read_json(request, KeyUpdateBody, gateway.settings.max_body_bytes)
    update = _update(key_id, body)
    with client_fields(_FIELDS), rpc_errors("token"):
        answer = await gateway.peers.access.UpdateApiKey(update, metadata=acting(admin))
    return json_response(key_json(answer.api_key))


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
        "weight": key.weight,
        "requests_per_minute": key.requests_per_minute,
        "daily_credit_budget": key.daily_credit_budget,
        "daily_budget_usd": _dollars(key),
        "allowed_models": list(key.allowed_models),
        "is_active": not key.HasField("revoke_time") and not _is_over(key),
        "created_at": iso_time(key, "create_time"),
        "revoked_at": iso_time(key, "revoke_time"),
        "expires_at": iso_time(key, "expire_time"),
    }


def _update(key_id: str, body: KeyUpdateBody) -> access_service_pb2.UpdateApiKeyRequest:
    values = body.model_dump(exclude_none=True, exclude={"expires_at", "daily_budget_usd"})
    if body.daily_budget_usd is not None:
        values["daily_budget_micro_usd"] = _micros(body.daily_budget_usd)
    paths = list(values)
    if "expires_at" in body.model_fields_set:
        paths.append("expire_time")
    if not paths:
        raise InvalidArgument("The request names nothing to change.", reason="MISSING_PARAMETER")
    key = access_service_pb2.ApiKey(api_key_id=key_id, expire_time=_time(body.expires_at), **values)
    return access_service_pb2.UpdateApiKeyRequest(api_key=key, update_mask=FieldMask(paths=paths))


def _micros(dollars: float | None) -> int | None:
    if dollars is None:
        return None
    return _UNLIMITED if dollars == _UNLIMITED else round(dollars * _MICROS_PER_DOLLAR)


def _dollars(key: access_service_pb2.ApiKey) -> float:
    if not key.HasField("daily_budget_micro_usd") or key.daily_budget_micro_usd < 0:
        return _UNLIMITED
    return key.daily_budget_micro_usd / _MICROS_PER_DOLLAR


def _time(seconds: int | None) -> Timestamp | None:
    return None if seconds is None else Timestamp(seconds=seconds)


def _is_over(key: access_service_pb2.ApiKey) -> bool:
    return key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= utc_now()
