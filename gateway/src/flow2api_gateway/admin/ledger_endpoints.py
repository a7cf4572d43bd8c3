"""``/admin/usage`` and ``/admin/ledger``: what generations cost, summed up and one by one."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.pages import page_headers, page_limit
from flow2api_gateway.admin.schemas import LedgerResolveBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.errors.client_fields import client_fields
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.generation.v1 import ledger_pb2

router: Final = APIRouter(tags=["administration"])

_MAX_PAGE: Final = 1000
_MAX_TOKEN_ID: Final = 2**63 - 1
_STATES: Final = {
    name.removeprefix("LEDGER_STATE_").lower(): value for name, value in ledger_pb2.LedgerState.items() if value
}
_STATE_NAMES: Final = {value: name for name, value in _STATES.items()}
_DIMENSIONS: Final = {
    name.removeprefix("USAGE_DIMENSION_").lower(): value for name, value in ledger_pb2.UsageDimension.items() if value
}
# What a dimension is called in a row.
_COLUMNS: Final = {"day": "day", "api_key": "api_key_id", "token": "token_id", "model": "model_id"}
_FIELDS: Final = {"model_id": "model", "first_day": "from", "last_day": "to", "states": "state"}

_ApiKey = Annotated[str, Query(description="Only of this API key.")]
_Token = Annotated[str, Query(description="Only of this token.")]
_Model = Annotated[str, Query(description="Only of this public model.")]
_From = Annotated[str, Query(alias="from", description="First UTC day, YYYY-MM-DD.")]
_To = Annotated[str, Query(description="Last UTC day, YYYY-MM-DD.")]


@router.get("/admin/usage", summary="What generations cost, summed up", responses=ERRORS)
async def usage(
    _admin: AdminDep,
    gateway: GatewayDep,
    by: Annotated[
        str, Query(description="Comma-separated: day, api_key, token, model, operation, provider.")
    ] = "day,api_key",
    api_key_id: _ApiKey = "",
    token_id: _Token = "",
    model: _Model = "",
    first_day: _From = "",
    to: _To = "",
) -> Response:
    """Credits and money by what ``by`` names, of the days on which the generations were accepted."""
    names = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in names if name not in _DIMENSIONS]
    if unknown:
        raise InvalidArgument.of("by", f"Unknown: {unknown[0][:40]}. Known are: {', '.join(_DIMENSIONS)}.")
    request = ledger_pb2.GetUsageRequest(
        filter=_filter(api_key_id, token_id, model, first_day, to), group_by=[_DIMENSIONS[name] for name in names]
    )
    with client_fields(_FIELDS), rpc_errors("generation"):
        answer = await gateway.peers.generation.GetUsage(request)
    return json_response([_usage_json(row, names) for row in answer.rows])


@router.get("/admin/ledger", summary="What generations cost, one by one", responses=ERRORS)
async def entries(
    _admin: AdminDep,
    gateway: GatewayDep,
    limit: Annotated[str, Query()] = "100",
    page_token: Annotated[str, Query()] = "",
    generation_id: Annotated[str, Query(description="Only of this video or picture generation.")] = "",
    state: Annotated[str, Query(description=f"Only in this state: {', '.join(_STATES)}.")] = "",
    api_key_id: _ApiKey = "",
    token_id: _Token = "",
    model: _Model = "",
    first_day: _From = "",
    to: _To = "",
) -> Response:
    """Entries, newest first; the header ``x-next-page-token`` names the next page."""
    if state and state not in _STATES:
        raise InvalidArgument.of("state", f"Unknown state. Known are: {', '.join(_STATES)}.")
    request = ledger_pb2.ListLedgerEntriesRequest(
        filter=_filter(api_key_id, token_id, model, first_day, to),
        generation_id=generation_id,
        states=[_STATES[state]] if state else [],
        page_size=page_limit(limit, _MAX_PAGE),
        page_token=page_token,
    )
    with client_fields(_FIELDS), rpc_errors("generation"):
        page = await gateway.peers.generation.ListLedgerEntries(request)
    return json_response([_entry_json(entry) for entry in page.entries], headers=page_headers(page.next_page_token))


@router.post(
    "/admin/ledger/{generation_id}/{line}/resolve",
    summary="Decide a disputed entry",
    openapi_extra=takes_json(LedgerResolveBody),
    responses=ERRORS,
)
async def resolve(request: Request, generation_id: str, line: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """``settled``: the upstream has taken its price; ``released``: it has not."""
    body = await read_json(request, LedgerResolveBody, gateway.settings.max_body_bytes)
    decision = ledger_pb2.ResolveLedgerEntryRequest(generation_id=generation_id, line=line, state=_STATES[body.state])
    with rpc_errors("generation"):
        answer = await gateway.peers.generation.ResolveLedgerEntry(decision)
    return json_response(_entry_json(answer.entry))


def _filter(api_key_id: str, token_id: str, model: str, first_day: str, last_day: str) -> ledger_pb2.LedgerFilter:
    if token_id and not (token_id.isascii() and token_id.isdigit() and int(token_id[:20]) <= _MAX_TOKEN_ID):
        raise InvalidArgument.of("token_id", "'token_id' must be a number.")
    return ledger_pb2.LedgerFilter(
        api_key_id=api_key_id,
        token_id=int(token_id or 0),
        model_id=model,
        first_day=first_day,
        last_day=last_day,
    )


def _usage_json(row: ledger_pb2.UsageRow, names: list[str]) -> dict[str, Any]:
    dimensions = {_COLUMNS.get(name, name): getattr(row, _COLUMNS.get(name, name)) or None for name in names}
    return dimensions | {
        "entries": row.entry_count,
        "settled_entries": row.settled_count,
        "outputs": row.output_count,
        "reserved_credits": row.reserved_credits,
        "open_credits": row.open_credits,
        "disputed_credits": row.disputed_credits,
        "settled_credits": row.settled_credits,
        "released_credits": row.released_credits,
        "reserved_micro_usd": row.reserved_micros,
        "open_micro_usd": row.open_micros,
        "disputed_micro_usd": row.disputed_micros,
        "settled_micro_usd": row.settled_micros,
        "released_micro_usd": row.released_micros,
    }


def _entry_json(entry: ledger_pb2.LedgerEntry) -> dict[str, Any]:
    return {
        "generation_id": entry.generation_id,
        "line": entry.line,
        "operation": entry.operation,
        "api_key_id": entry.api_key_id,
        "day": entry.day,
        "model": entry.model_id,
        "provider": entry.provider or None,
        "upstream_model": entry.upstream_model or None,
        "token_id": entry.token_id or None,
        "state": _STATE_NAMES.get(entry.state, "unknown"),
        "reason": entry.reason or None,
        "reserved_credits": entry.reserved_credits,
        "credits": entry.credits,
        "released_credits": entry.released_credits,
        "micros": entry.micros if entry.HasField("micros") else None,
        "currency": entry.currency or None,
        "balance_after": entry.balance_after if entry.HasField("balance_after") else None,
        "outputs": entry.output_count,
        "created_at": iso_time(entry, "create_time"),
        "updated_at": iso_time(entry, "update_time"),
    }
