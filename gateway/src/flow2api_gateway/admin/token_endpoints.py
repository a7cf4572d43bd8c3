"""``/admin/tokens``: the pool."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.admin_to_grpc import (
    create_token_request,
    secret_fields_by_client_name,
    update_token_request,
)
from flow2api_gateway.admin.schemas import TokenCreateBody, TokenDisableBody, TokenUpdateBody
from flow2api_gateway.admin.token_json import token_id_of, token_json
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2

router: Final = APIRouter(tags=["administration"])
_PAGE: Final = 1000
# Adding and refreshing asks the upstream several times.
_UPSTREAM_SECONDS: Final = 180.0


@router.get("/admin/tokens", summary="List tokens", responses=ERRORS)
async def list_tokens(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """All tokens, secrets masked."""
    tokens: list[token_pb2.Token] = []
    page_token = ""
    while True:
        with rpc_errors("token"):
            page = await gateway.peers.tokens.ListTokens(
                token_service_pb2.ListTokensRequest(page_size=_PAGE, page_token=page_token)
            )
        tokens.extend(page.tokens)
        page_token = page.next_page_token
        if not page_token:
            return json_response([token_json(token) for token in tokens])


@router.post("/admin/tokens", summary="Add a token", openapi_extra=takes_json(TokenCreateBody), responses=ERRORS)
async def add_token(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Proves the secret upstream and adds it to the pool."""
    body = await read_json(request, TokenCreateBody, gateway.settings.max_body_bytes)
    creation = create_token_request(body)
    with client_fields(secret_fields_by_client_name(body)), rpc_errors("token"):
        answer = await gateway.peers.tokens.CreateToken(creation, timeout=_UPSTREAM_SECONDS, metadata=acting(admin))
    return json_response(token_json(answer.token))


@router.get("/admin/tokens/{token_id}", summary="Read a token", responses=ERRORS)
async def read_token(token_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """One token."""
    with rpc_errors("token"):
        answer = await gateway.peers.tokens.GetToken(token_service_pb2.GetTokenRequest(token_id=token_id_of(token_id)))
    return json_response(token_json(answer.token))


@router.put(
    "/admin/tokens/{token_id}", summary="Change a token", openapi_extra=takes_json(TokenUpdateBody), responses=ERRORS
)
async def change_token(request: Request, token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Changes the fields that are given."""
    body = await read_json(request, TokenUpdateBody, gateway.settings.max_body_bytes)
    change = update_token_request(token_id_of(token_id), body)
    with client_fields(secret_fields_by_client_name(body)), rpc_errors("token"):
        answer = await gateway.peers.tokens.UpdateToken(change, timeout=_UPSTREAM_SECONDS, metadata=acting(admin))
    return json_response(token_json(answer.token))


@router.delete("/admin/tokens/{token_id}", summary="Remove a token", responses=ERRORS)
async def remove_token(token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Takes it out of the pool; generations on it run to their end."""
    with rpc_errors("token"):
        await gateway.peers.tokens.DeleteToken(
            token_service_pb2.DeleteTokenRequest(token_id=token_id_of(token_id)), metadata=acting(admin)
        )
    return json_response({"success": True, "id": token_id_of(token_id), "deleted": True})


@router.post("/admin/tokens/{token_id}/enable", summary="Enable a token", responses=ERRORS)
async def enable_token(token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Back to active, whatever its state."""
    with rpc_errors("token"):
        answer = await gateway.peers.tokens.EnableToken(
            token_service_pb2.EnableTokenRequest(token_id=token_id_of(token_id)), metadata=acting(admin)
        )
    return json_response(token_json(answer.token))


@router.post("/admin/tokens/{token_id}/disable", summary="Disable a token", responses=ERRORS)
async def disable_token(request: Request, token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Not chosen any more; a ``reason`` may be given."""
    reason = ""
    if request.headers.get("content-length", "0") != "0":
        reason = (await read_json(request, TokenDisableBody, gateway.settings.max_body_bytes)).reason
    with rpc_errors("token"):
        answer = await gateway.peers.tokens.DisableToken(
            token_service_pb2.DisableTokenRequest(token_id=token_id_of(token_id), reason=reason), metadata=acting(admin)
        )
    return json_response(token_json(answer.token))


@router.post("/admin/tokens/{token_id}/refresh", summary="Refresh a token", responses=ERRORS)
async def refresh_token(token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Buys a new access token and reads credits and tier."""
    with rpc_errors("token"):
        answer = await gateway.peers.tokens.RefreshToken(
            token_service_pb2.RefreshTokenRequest(token_id=token_id_of(token_id)),
            timeout=_UPSTREAM_SECONDS,
            metadata=acting(admin),
        )
    return json_response(token_json(answer.token))
