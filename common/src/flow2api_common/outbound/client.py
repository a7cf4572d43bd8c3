"""The HTTP client that connects to checked addresses and to nothing else."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv6Address
from typing import Final

import httpx

from flow2api_common.outbound.addresses import Address
from flow2api_common.outbound.targets import Target

_MAX_ADDRESSES_TRIED: Final = 2


class CheckedClient:
    """Sends requests to targets.

    The connection goes to the checked address itself, so that a name that resolves anew gains nothing. Connections are
    never reused, so that none is shared by two names on one address. Redirects are not followed, and the environment's
    proxies are not used.
    """

    def __init__(
        self, *, connect_timeout: timedelta, read_timeout: timedelta, max_connections: int, headers: Mapping[str, str]
    ) -> None:
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            verify=_tls_context(),
            timeout=httpx.Timeout(read_timeout.total_seconds(), connect=connect_timeout.total_seconds()),
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=0),
            # Nobody's cookies are kept: they would go to other names on the same address, and pile up.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers=headers,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(
        self, method: str, target: Target, *, content: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer, whose body is not read yet: close it. Raises httpx.HTTPError."""
        addresses = target.addresses[:_MAX_ADDRESSES_TRIED]
        for address in addresses[:-1]:
            try:
                return await self._send_to(address, method, target, content, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send_to(addresses[-1], method, target, content, headers)

    async def _send_to(
        self, address: Address, method: str, target: Target, content: bytes | None, headers: Mapping[str, str] | None
    ) -> httpx.Response:
        host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
        request = self._client.build_request(
            method,
            target.url.copy_with(host=host, fragment=None),
            content=content,
            headers={**(headers or {}), "host": target.host_header},
            extensions={"sni_hostname": target.server_name},
        )
        return await self._client.send(request, stream=True)


@cache
def _tls_context() -> ssl.SSLContext:
    """The usual roots; reading them takes 50 ms, so once in a process."""
    return httpx.create_ssl_context(trust_env=False)
