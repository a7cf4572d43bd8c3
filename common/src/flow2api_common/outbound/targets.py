"""Where a URL leads: its parts checked, its addresses resolved and checked, before anything is connected."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeAlias

import httpx

from flow2api_common.outbound.addresses import Address, is_public

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]
"""The addresses of a host, in the order in which to try them. Raises OSError when there are none."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MAX_URL_LENGTH: Final = 8192


class RefusedTarget(Exception):
    """The URL must not be used; the message is a sentence for the client and names no address."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL whose addresses were checked: connect to one of ``addresses`` and to nothing else."""

    url: httpx.URL
    host_header: str
    server_name: str
    addresses: tuple[Address, ...]


async def system_resolver(host: str, port: int) -> Sequence[Address]:
    """What the system would connect to, so also for ``0x7f.1`` and other notations that only it knows."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(answer[4][0])) for answer in answers]


async def checked_target(
    url_text: str, *, resolve: Resolver, allowed_private: Collection[str], allow_http: bool
) -> Target:
    """Check a URL. ``allowed_private`` holds ``host:port`` that may be private. Raises RefusedTarget."""
    url = _parsed(url_text)
    port = url.port or _DEFAULT_PORTS.get(url.scheme, 0)
    is_exception = f"{url.host}:{port}" in allowed_private or f"[{url.host}]:{port}" in allowed_private
    schemes = ("https", "http") if allow_http or is_exception else ("https",)
    if url.scheme not in schemes:
        raise RefusedTarget(f"Only {' and '.join(schemes)} URLs are allowed.")
    try:
        addresses = tuple(await resolve(url.raw_host.decode("ascii"), port))
    except (OSError, UnicodeError, ValueError) as exc:
        raise RefusedTarget("The host of the URL could not be resolved.") from exc
    # One private address among public ones is enough to refuse: the answer may have been mixed on purpose.
    if not addresses or not (is_exception or all(is_public(address) for address in addresses)):
        raise RefusedTarget("The URL does not lead to a public address.")
    host_header = url.netloc.decode("ascii")
    return Target(url, host_header, url.raw_host.decode("ascii"), addresses)


def _parsed(text: str) -> httpx.URL:
    # Parsers disagree about these characters, and a disagreement is how a check is led around.
    if len(text) > _MAX_URL_LENGTH or "\\" in text or any(char <= " " or char == "\x7f" for char in text):
        raise RefusedTarget("The URL is not valid.")
    try:
        url = httpx.URL(text)
        host = url.host  # Decodes international names, which may fail.
    except (httpx.InvalidURL, ValueError) as exc:
        raise RefusedTarget("The URL is not valid.") from exc
    if not host or url.userinfo or "%" in host:
        raise RefusedTarget("The URL is not valid.")
    return url
