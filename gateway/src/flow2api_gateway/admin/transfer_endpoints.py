"""``/admin/tokens/import``, ``…/export`` and ``…/{id}/reveal``: secrets on their way in and out."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument, RequestError
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.admin_to_grpc import secret_field_of
from flow2api_gateway.admin.import_to_grpc import import_of_json, import_of_text
from flow2api_gateway.admin.schemas import TokenCreateBody, TokenExportBody
from flow2api_gateway.admin.token_json import token_id_of
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import content_type_of, limited_stream, nul_character, read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.tokens.v1 import token_service_pb2

router: Final = APIRouter(tags=["administration"])
_MAX_IMPORT_BYTES: Final = 16 << 20
# Every token of an import is proved upstream by several calls.
_IMPORT_SECONDS: Final = 1800.0
_NO_STORE: Final = {"cache-control": "no-store"}
_STATUSES: Final = {
    value: name.removeprefix("IMPORT_STATUS_").lower() for name, value in token_service_pb2.ImportStatus.items()
}


@router.post(
    "/admin/tokens/import", summary="Add many tokens", openapi_extra=takes_json(TokenCreateBody), responses=ERRORS
)
async def import_tokens(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """A JSON list of tokens, ``{"export", "passphrase"}``, or text with one session token a line.

    The answer has one result per entry, in order.
    """
    body = b"".join([chunk async for chunk in limited_stream(request, _MAX_IMPORT_BYTES)])
    is_text = content_type_of(request).startswith("text/")
    read = import_of_text(_text(body)) if is_text else import_of_json(body)
    results: list[token_service_pb2.ImportResult] = []
    if read.request.tokens or read.request.sealed:
        with client_fields({"sealed": "export"}), rpc_errors("token"):
            answer = await gateway.peers.tokens.ImportTokens(
                read.request, timeout=_IMPORT_SECONDS, metadata=acting(admin)
            )
        results.extend(answer.results)
    documents = [_result_json(result) for result in results]
    for at, error in sorted(read.refused.items()):
        documents.insert(at, _refused_json(error))
    counts = {status: sum(document["status"] == status for document in documents) for status in _STATUSES.values()}
    counts.pop("unspecified", None)
    return json_response({"success": not counts["failed"], **counts, "results": documents})


@router.post(
    "/admin/tokens/export",
    summary="Give tokens with their secrets, sealed",
    openapi_extra=takes_json(TokenExportBody),
    responses=ERRORS,
)
async def export_tokens(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """All tokens, or those named by ``ids``, sealed with ``passphrase``. Written into the audit log."""
    body = await read_json(request, TokenExportBody, gateway.settings.max_body_bytes)
    export = token_service_pb2.ExportTokensRequest(
        passphrase=body.passphrase.get_secret_value(), token_ids=body.ids or ()
    )
    with client_fields({"token_ids": "ids"}), rpc_errors("token"):
        answer = await gateway.peers.tokens.ExportTokens(export, metadata=acting(admin))
    return json_response(orjson.loads(answer.sealed), headers=_NO_STORE)


@router.post("/admin/tokens/{token_id}/reveal", summary="Show the secret of a token", responses=ERRORS)
async def reveal_token(token_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """The long-lived secret in clear, in the field that it is added with. Written into the audit log."""
    reveal = token_service_pb2.RevealTokenRequest(token_id=token_id_of(token_id))
    with rpc_errors("token"):
        answer = await gateway.peers.tokens.RevealToken(reveal, metadata=acting(admin))
    field = secret_field_of(answer.provider, answer.secret)
    return json_response({"id": reveal.token_id, "provider": answer.provider, field: answer.secret}, headers=_NO_STORE)


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidArgument("The request body is not UTF-8.", reason="INVALID_VALUE") from None
    if "\0" in text:
        raise nul_character()
    return text


def _result_json(result: token_service_pb2.ImportResult) -> dict[str, Any]:
    return {
        "status": _STATUSES[result.status],
        "id": result.token_id or None,
        "reason": result.reason.lower() or None,
        "message": result.message or None,
    }


def _refused_json(error: RequestError) -> dict[str, Any]:
    return {"status": "failed", "id": None, "reason": error.reason.lower(), "message": error.message}
