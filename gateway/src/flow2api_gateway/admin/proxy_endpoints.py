"""``/admin/proxies``: through which the tokens speak to the upstream."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.proxy_json import proxy_id_of, proxy_json
from flow2api_gateway.admin.schemas import ProxyCreateBody, ProxyImportBody, ProxyUpdateBody
from flow2api_gateway.auth.dependencies import AdminDep
from flow2api_gateway.edge.bodies import content_type_of, limited_stream, nul_character, read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.tokens.v1 import proxy_service_pb2, token_service_pb2

router: Final = APIRouter(tags=["administration"])
_PAGE: Final = 1000
_MAX_IMPORT_BYTES: Final = 4 << 20
_MAX_IMPORT: Final = 1000
# Waits for a check that is under way, and for one of its own.
_CHECK_SECONDS: Final = 120.0
_STATUSES: Final = {
    token_service_pb2.IMPORT_STATUS_ADDED: "added",
    token_service_pb2.IMPORT_STATUS_EXISTS: "exists",
    token_service_pb2.IMPORT_STATUS_FAILED: "failed",
}


@router.get("/admin/proxies", summary="List proxies", responses=ERRORS)
async def list_proxies(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """All proxies, without their logins."""
    proxies: list[dict[str, Any]] = []
    page_token = ""
    while True:
        with rpc_errors("token"):
            page = await gateway.peers.proxies.ListProxies(
                proxy_service_pb2.ListProxiesRequest(page_size=_PAGE, page_token=page_token)
            )
        proxies.extend(proxy_json(proxy) for proxy in page.proxies)
        page_token = page.next_page_token
        if not page_token:
            return json_response(proxies)


@router.post("/admin/proxies", summary="Add a proxy", openapi_extra=takes_json(ProxyCreateBody), responses=ERRORS)
async def add_proxy(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """``url`` is ``http|https|socks5|socks5h://[user:password@]host:port``. It is used at once."""
    body = await read_json(request, ProxyCreateBody, gateway.settings.max_body_bytes)
    creation = proxy_service_pb2.CreateProxyRequest(
        url=body.url.get_secret_value(), name=body.name or "", remark=body.remark or ""
    )
    with rpc_errors("token"):
        answer = await gateway.peers.proxies.CreateProxy(creation, metadata=acting(admin))
    return json_response(proxy_json(answer.proxy))


@router.post(
    "/admin/proxies/import", summary="Add many proxies", openapi_extra=takes_json(ProxyImportBody), responses=ERRORS
)
async def import_proxies(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """``{"urls": […]}``, or text with one address a line; empty lines and those that begin with ``#`` are passed over.

    The answer has one result per address, in order.
    """
    if content_type_of(request).startswith("text/"):
        urls = _lines(b"".join([chunk async for chunk in limited_stream(request, _MAX_IMPORT_BYTES)]))
    else:
        body = await read_json(request, ProxyImportBody, _MAX_IMPORT_BYTES)
        urls = [url.get_secret_value() for url in body.urls]
    if not 1 <= len(urls) <= _MAX_IMPORT:
        raise InvalidArgument.of("urls", f"An import has 1 to {_MAX_IMPORT} proxies.")
    with rpc_errors("token"):
        answer = await gateway.peers.proxies.ImportProxies(
            proxy_service_pb2.ImportProxiesRequest(urls=urls), timeout=_CHECK_SECONDS, metadata=acting(admin)
        )
    results = [
        {
            "status": _STATUSES[result.status],
            "id": result.proxy_id or None,
            "reason": result.reason.lower() or None,
            "message": result.message or None,
        }
        for result in answer.results
    ]
    counts = {status: sum(result["status"] == status for result in results) for status in _STATUSES.values()}
    return json_response({"success": not counts["failed"], **counts, "results": results})


@router.get("/admin/proxies/{proxy_id}", summary="Read a proxy", responses=ERRORS)
async def read_proxy(proxy_id: str, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """One proxy."""
    with rpc_errors("token"):
        answer = await gateway.peers.proxies.GetProxy(proxy_service_pb2.GetProxyRequest(proxy_id=proxy_id_of(proxy_id)))
    return json_response(proxy_json(answer.proxy))


@router.put(
    "/admin/proxies/{proxy_id}", summary="Change a proxy", openapi_extra=takes_json(ProxyUpdateBody), responses=ERRORS
)
async def change_proxy(request: Request, proxy_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Changes the fields that are given; ``enabled`` switches it on or off."""
    body = await read_json(request, ProxyUpdateBody, gateway.settings.max_body_bytes)
    number = proxy_id_of(proxy_id)
    url = body.url.get_secret_value() if body.url is not None else ""
    fields = {name: value for name in ("name", "remark") if (value := getattr(body, name)) is not None}
    paths = [*fields, *(["url"] if url else [])]
    if not paths and body.enabled is None:
        raise InvalidArgument("Nothing to change was given.", reason="MISSING_PARAMETER")
    proxy = proxy_service_pb2.Proxy(proxy_id=number, **fields)
    with rpc_errors("token"):
        if paths:
            update = proxy_service_pb2.UpdateProxyRequest(proxy=proxy, update_mask=FieldMask(paths=paths), url=url)
            proxy = (await gateway.peers.proxies.UpdateProxy(update, metadata=acting(admin))).proxy
        if body.enabled is not None:
            proxy = await _switched(gateway, admin, number, enabled=body.enabled)
    return json_response(proxy_json(proxy))


@router.delete("/admin/proxies/{proxy_id}", summary="Remove a proxy", responses=ERRORS)
async def remove_proxy(proxy_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Its tokens get another one when they are used next."""
    number = proxy_id_of(proxy_id)
    with rpc_errors("token"):
        await gateway.peers.proxies.DeleteProxy(
            proxy_service_pb2.DeleteProxyRequest(proxy_id=number), metadata=acting(admin)
        )
    return json_response({"success": True, "id": number, "deleted": True})


@router.post("/admin/proxies/{proxy_id}/enable", summary="Enable a proxy", responses=ERRORS)
async def enable_proxy(proxy_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Used again, with a clean slate."""
    with rpc_errors("token"):
        proxy = await _switched(gateway, admin, proxy_id_of(proxy_id), enabled=True)
    return json_response(proxy_json(proxy))


@router.post("/admin/proxies/{proxy_id}/disable", summary="Disable a proxy", responses=ERRORS)
async def disable_proxy(proxy_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Neither used nor checked any more."""
    with rpc_errors("token"):
        proxy = await _switched(gateway, admin, proxy_id_of(proxy_id), enabled=False)
    return json_response(proxy_json(proxy))


@router.post("/admin/proxies/{proxy_id}/check", summary="Check a proxy", responses=ERRORS)
async def check_proxy(proxy_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Asks the upstream over it now; ``passed`` says whether it let us through."""
    with rpc_errors("token"):
        answer = await gateway.peers.proxies.CheckProxy(
            proxy_service_pb2.CheckProxyRequest(proxy_id=proxy_id_of(proxy_id)),
            timeout=_CHECK_SECONDS,
            metadata=acting(admin),
        )
    return json_response(proxy_json(answer.proxy) | {"passed": answer.passed})


async def _switched(gateway: GatewayDep, admin: AdminDep, proxy_id: int, *, enabled: bool) -> proxy_service_pb2.Proxy:
    if enabled:
        enable = proxy_service_pb2.EnableProxyRequest(proxy_id=proxy_id)
        return (await gateway.peers.proxies.EnableProxy(enable, metadata=acting(admin))).proxy
    disable = proxy_service_pb2.DisableProxyRequest(proxy_id=proxy_id)
    return (await gateway.peers.proxies.DisableProxy(disable, metadata=acting(admin))).proxy


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidArgument("The request body is not UTF-8.", reason="INVALID_VALUE") from None
    if "\0" in text:
        raise nul_character()
    return [line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#")]
