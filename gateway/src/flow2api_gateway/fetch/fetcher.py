"""The one place that fetches what a client names by URL."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Final

import httpx

from flow2api_common.errors import InvalidArgument
from flow2api_common.logs import get_logger
from flow2api_common.media_types import image_mime_type
from flow2api_common.outbound.client import CheckedClient
from flow2api_common.outbound.targets import RefusedTarget, Resolver, checked_target, system_resolver

_MAX_REDIRECTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
_READ_TIMEOUT: Final = timedelta(seconds=10)
_MAX_CONNECTIONS: Final = 64
log = get_logger(__name__)


class _FetchFailed(Exception):
    """The server was reached and did not give a picture; the message is for the client."""


class ImageFetcher:
    """Fetches pictures by URL from public addresses only; each redirect is checked like a first URL."""

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout: timedelta,
        allowed_private: Collection[str] = (),
        allow_http: bool = False,
        resolve: Resolver = system_resolver,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout.total_seconds()
        self._allowed_private = frozenset(allowed_private)
        self._allow_http = allow_http
        self._resolve = resolve
        self._client = CheckedClient(
            connect_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
            max_connections=_MAX_CONNECTIONS,
            headers={"accept": "image/*", "accept-encoding": "identity", "user-agent": "flow2api-gateway"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def fetch(self, url: str, *, param: str) -> bytes:
        """The bytes of a picture. Raises InvalidArgument INVALID_IMAGE_URL or IMAGE_TOO_LARGE, naming ``param``."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._follow(url, param)
        except (RefusedTarget, _FetchFailed) as exc:
            raise _invalid_url(param, str(exc)) from exc
        except TimeoutError as exc:
            raise _invalid_url(param, "The picture did not come in time.") from exc
        # The last two: the location of a redirect, which httpx reads as soon as it comes.
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as exc:
            log.info("image_fetch_failed", error=type(exc).__name__)
            raise _invalid_url(param, "The picture could not be fetched.") from exc

    async def _follow(self, url: str, param: str) -> bytes:
        for _ in range(_MAX_REDIRECTS + 1):
            target = await checked_target(
                url, resolve=self._resolve, allowed_private=self._allowed_private, allow_http=self._allow_http
            )
            response = await self._client.send("GET", target)
            try:
                if response.status_code in _REDIRECTS:
                    url = str(target.url.join(response.headers.get("location", "")))
                    continue
                return await self._read(response, param)
            finally:
                await response.aclose()
        raise _FetchFailed("The URL redirects too often.")

    async def _read(self, response: httpx.Response, param: str) -> bytes:
        if response.status_code != httpx.codes.OK:
            raise _FetchFailed(f"The server of the URL answered with status {response.status_code}.")
        # Undone compression could unfold without bound; a picture has no use for it.
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _FetchFailed("The server of the URL sent a compressed answer.")
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large(param)
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > self._max_bytes:
                raise self._too_large(param)
        if image_mime_type(bytes(content[:16])) is None:
            raise _FetchFailed("The URL does not lead to a picture.")
        return bytes(content)

    def _too_large(self, param: str) -> InvalidArgument:
        return InvalidArgument.of(
            param, f"The picture is larger than {self._max_bytes} bytes.", reason="IMAGE_TOO_LARGE"
        )


def _invalid_url(param: str, message: str) -> InvalidArgument:
    return InvalidArgument.of(param, message, reason="INVALID_IMAGE_URL")
