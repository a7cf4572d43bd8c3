"""The thin gRPC edge of proxies: translate, delegate, translate."""
# ruff: noqa: N802 - methods have the names of the RPCs

from __future__ import annotations

from collections import Counter
from typing import Any

import grpc

from flow2api_proto.tokens.v1 import proxy_service_pb2 as pb
from flow2api_proto.tokens.v1 import proxy_service_pb2_grpc
from flow2api_token_service.audit.actor import actor_of
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.proxies import proxy_to_proto as translate
from flow2api_token_service.proxies.address import proxy_address
from flow2api_token_service.proxies.administration import ProxyAdministration
from flow2api_token_service.proxies.checks import ProxyChecks
from flow2api_token_service.proxies.models import ProxyRow
from flow2api_token_service.tokens.proto_to_token import page_bounds

Context = grpc.aio.ServicerContext[Any, Any]


class ProxyServicer(proxy_service_pb2_grpc.ProxyServiceServicer):
    """flow2api.tokens.v1.ProxyService."""

    def __init__(self, *, administration: ProxyAdministration, checks: ProxyChecks, audit: AuditLog) -> None:
        self._administration = administration
        self._checks = checks
        self._audit = audit

    async def CreateProxy(self, request: pb.CreateProxyRequest, context: Context) -> pb.CreateProxyResponse:
        """Add a proxy."""
        address = proxy_address(request.url)
        name, remark = translate.checked_text("name", request.name), translate.checked_text("remark", request.remark)
        async with self._audit.entry(actor_of(context), "proxy.create", detail=address.shown) as entry:
            row = await self._administration.create(address, name=name, remark=remark)
            entry.target = _target(row.id)
        return pb.CreateProxyResponse(proxy=await self._described(row))

    async def ImportProxies(self, request: pb.ImportProxiesRequest, context: Context) -> pb.ImportProxiesResponse:
        """Add many proxies, each with a result."""
        urls = translate.import_urls(request)
        async with self._audit.entry(actor_of(context), "proxy.import", detail=f"proxies: {len(urls)}") as entry:
            results = await self._administration.import_all(urls)
            counts = Counter("failed" if it.error else "exists" if it.is_known else "added" for it in results)
            entry.detail = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
        return pb.ImportProxiesResponse(results=[translate.proxy_import_result_to_proto(result) for result in results])

    async def GetProxy(self, request: pb.GetProxyRequest, context: Context) -> pb.GetProxyResponse:
        """Read one proxy."""
        del context
        return pb.GetProxyResponse(proxy=await self._described(await self._administration.get(request.proxy_id)))

    async def ListProxies(self, request: pb.ListProxiesRequest, context: Context) -> pb.ListProxiesResponse:
        """Read proxies by ascending id."""
        del context
        limit, after_id = page_bounds(request.page_size, request.page_token)
        rows = await self._administration.page(after_id=after_id, limit=limit + 1)
        counts = await self._administration.token_counts()
        return pb.ListProxiesResponse(
            proxies=[translate.proxy_to_proto(row, counts) for row in rows[:limit]],
            next_page_token=str(rows[limit - 1].id) if len(rows) > limit else "",
        )

    async def UpdateProxy(self, request: pb.UpdateProxyRequest, context: Context) -> pb.UpdateProxyResponse:
        """Change the fields that the mask names."""
        update, proxy_id = translate.proxy_update(request), request.proxy.proxy_id
        detail = f"fields: {', '.join(sorted(set(request.update_mask.paths)))}"
        async with self._audit.entry(actor_of(context), "proxy.update", target=_target(proxy_id), detail=detail):
            row = await self._administration.update(proxy_id, update)
        return pb.UpdateProxyResponse(proxy=await self._described(row))

    async def DeleteProxy(self, request: pb.DeleteProxyRequest, context: Context) -> pb.DeleteProxyResponse:
        """Remove a proxy."""
        async with self._audit.entry(actor_of(context), "proxy.delete", target=_target(request.proxy_id)):
            await self._administration.delete(request.proxy_id)
        return pb.DeleteProxyResponse()

    async def EnableProxy(self, request: pb.EnableProxyRequest, context: Context) -> pb.EnableProxyResponse:
        """Let a proxy be used."""
        async with self._audit.entry(actor_of(context), "proxy.enable", target=_target(request.proxy_id)):
            row = await self._administration.enable(request.proxy_id)
        return pb.EnableProxyResponse(proxy=await self._described(row))

    async def DisableProxy(self, request: pb.DisableProxyRequest, context: Context) -> pb.DisableProxyResponse:
        """Have a proxy not used any more."""
        async with self._audit.entry(actor_of(context), "proxy.disable", target=_target(request.proxy_id)):
            row = await self._administration.disable(request.proxy_id)
        return pb.DisableProxyResponse(proxy=await self._described(row))

    async def CheckProxy(self, request: pb.CheckProxyRequest, context: Context) -> pb.CheckProxyResponse:
        """Look at a proxy now."""
        async with self._audit.entry(actor_of(context), "proxy.check", target=_target(request.proxy_id)):
            row, passed = await self._checks.check(request.proxy_id)
        return pb.CheckProxyResponse(proxy=await self._described(row), passed=passed)

    async def _described(self, row: ProxyRow) -> pb.Proxy:
        return translate.proxy_to_proto(row, await self._administration.token_counts())


def _target(proxy_id: int) -> str:
    return f"proxy/{proxy_id}"
