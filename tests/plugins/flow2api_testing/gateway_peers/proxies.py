"""Proxies that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration

from flow2api_common.errors import (
    Conflict,
    InvalidArgument,
    NotFound,
)
from flow2api_proto.tokens.v1 import (
    proxy_service_pb2,
    proxy_service_pb2_grpc,
    token_service_pb2,
)


class FakeProxies(proxy_service_pb2_grpc.ProxyServiceServicer):
    """Proxies in a dict, whose addresses are not looked at."""

    def __init__(self) -> None:
        self.proxies: dict[int, proxy_service_pb2.Proxy] = {}
        self.urls: dict[int, str] = {}
        self.passes = True

    def _get(self, proxy_id: int) -> proxy_service_pb2.Proxy:
        if proxy_id not in self.proxies:
            raise NotFound("There is no such proxy.", reason="PROXY_NOT_FOUND")
        return self.proxies[proxy_id]

    def _add(self, url: str, name: str = "", remark: str = "") -> proxy_service_pb2.Proxy:
        if not url.startswith("socks5://"):
            raise InvalidArgument.of("url", "The scheme is wrong.")
        if url in self.urls.values():
            raise Conflict("Known.", reason="PROXY_EXISTS")
        proxy_id = len(self.urls) + 1
        self.urls[proxy_id] = url
        self.proxies[proxy_id] = proxy_service_pb2.Proxy(
            proxy_id=proxy_id,
            scheme="socks5",
            host="::1",
            port=1080,
            has_credentials=True,
            name=name,
            remark=remark,
            enabled=True,
            state=proxy_service_pb2.PROXY_STATE_ACTIVE,
            latency=Duration(nanos=25_000_000),
            token_count=3,
        )
        return self.proxies[proxy_id]

    async def CreateProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.CreateProxyResponse(proxy=self._add(request.url, request.name, request.remark))

    async def ImportProxies(self, request: Any, context: Any) -> Any:
        results = []
        for url in request.urls:
            try:
                added = self._add(url).proxy_id
                status = token_service_pb2.IMPORT_STATUS_ADDED
                results.append(proxy_service_pb2.ImportProxyResult(status=status, proxy_id=added))
            except InvalidArgument as error:
                status = token_service_pb2.IMPORT_STATUS_FAILED
                result = proxy_service_pb2.ImportProxyResult(status=status, reason=error.reason, message="wrong")
                results.append(result)
        return proxy_service_pb2.ImportProxiesResponse(results=results)

    async def GetProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.GetProxyResponse(proxy=self._get(request.proxy_id))

    async def ListProxies(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.ListProxiesResponse(proxies=self.proxies.values())

    async def UpdateProxy(self, request: Any, context: Any) -> Any:
        proxy = self._get(request.proxy.proxy_id)
        for path in request.update_mask.paths:
            if path == "url":
                self.urls[proxy.proxy_id] = request.url
            else:
                setattr(proxy, path, getattr(request.proxy, path))
        return proxy_service_pb2.UpdateProxyResponse(proxy=proxy)

    async def DeleteProxy(self, request: Any, context: Any) -> Any:
        del self.proxies[self._get(request.proxy_id).proxy_id]
        return proxy_service_pb2.DeleteProxyResponse()

    async def EnableProxy(self, request: Any, context: Any) -> Any:
        self._get(request.proxy_id).enabled = True
        return proxy_service_pb2.EnableProxyResponse(proxy=self._get(request.proxy_id))

    async def DisableProxy(self, request: Any, context: Any) -> Any:
        self._get(request.proxy_id).enabled = False
        return proxy_service_pb2.DisableProxyResponse(proxy=self._get(request.proxy_id))

    async def CheckProxy(self, request: Any, context: Any) -> Any:
        return proxy_service_pb2.CheckProxyResponse(proxy=self._get(request.proxy_id), passed=self.passes)
