"""HTTP to the upstreams: pooled connections, bounded answers, and failures translated once.

``HttpClient.send`` reads an answer whole, ``HttpClient.stream`` opens one to be read in constant memory. Both raise
only UpstreamFailure, of the classes NETWORK, PROXY and UPSTREAM; what an HTTP status means is for the provider to say
in its ``classify``.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

from curl_cffi import CurlError, CurlOpt
from curl_cffi.requests import Response

from flow2api_upstream.http_body import StreamedBody
from flow2api_upstream.http_errors import failure_of
from flow2api_upstream.http_sessions import PooledSession, SessionPool, on_curl_handle
from flow2api_upstream.http_transfer import Transfer
from flow2api_upstream.port import FailureClass, UpstreamFailure
from flow2api_upstream.settings import UpstreamSettings

_GRACE = timedelta(seconds=5)
_LARGE_JSON_BYTES = 256 * 1024
_ERROR_BODY_BYTES = 64 * 1024
_MAX_REDIRECTS = 5
_PROXY_LOGIN_WANTED = 407
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. ``paid`` means that the upstream may charge for it.

    A paid request, and one that is not ``repeatable``, goes out at most once, on a connection of its own; others may be
    sent again by libcurl when a kept connection turns out to be dead.
    ``credentials`` are headers for the host of ``url`` alone: a redirect to another origin goes without them.
    """

    method: Literal["GET", "POST", "DELETE"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | StreamedBody | None = field(default=None, repr=False)
    timeout: timedelta | None = None
    proxy_url: str = field(default="", repr=False)
    paid: bool = False
    repeatable: bool = True

    @property
    def goes_out_once(self) -> bool:
        """Whether it must not be sent again behind our back."""
        return self.paid or not self.repeatable


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. Header names are lower-case; of a repeated header the last counts, except ``set_cookies``.

    ``location`` is the absolute target of a redirect, which was not followed; empty for any other answer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    set_cookies: Sequence[str] = field(default=(), repr=False)
    location: str = field(default="", repr=False)

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300

    async def json(self) -> object:
        """The parsed body. Raises ValueError if it is not JSON. Large bodies are parsed off the loop."""
        if len(self.body) > _LARGE_JSON_BYTES:
            return await asyncio.to_thread(json.loads, self.body)
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class HttpStream:
    """An open answer. ``error_body`` holds the beginning of the body when the status is no success, and ``headers`` are
    its headers if that was all of it; else read ``chunks``, once."""

    status: int
    content_type: str
    content_length: int | None
    chunks: AsyncIterator[bytes] = field(repr=False)
    error_body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_success(self) -> bool:
        """2xx."""
        return 200 <= self.status < 300


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL: what decides who may see a credential."""
    parts = urlsplit(url)
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default_port


class HttpClient:
    """Calls through pooled sessions. Belongs to one event loop; close it with ``aclose``."""

    def __init__(self, settings: UpstreamSettings) -> None:
        self._settings = settings
        self._pool = SessionPool(
            impersonate=settings.upstream_impersonate,
            max_sessions=settings.upstream_max_sessions,
            max_clients=settings.upstream_pool_size,
        )

    @property
    def session_count(self) -> int:
        """How many connection pools are open."""
        return self._pool.session_count

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """The whole answer, redirects not followed. Cancelling aborts the request."""
        timeout = request.timeout or self._settings.upstream_timeout
        transfer = Transfer(
            max_bytes=self._settings.upstream_max_answer_bytes,
            pauses=False,
            own_connection=request.goes_out_once,
            options={},
        )
        # curl ends the call by its own timeout; ours is for the wait for a free handle, and in case curl does not.
        async with (
            _within(timeout + _GRACE, request, transfer),
            self._pool.session(request.proxy_url) as session,
        ):
            response = await self._perform(session, request, transfer, timeout)
        return _answer_of(response, transfer.take())

    @asynccontextmanager
    async def stream(self, request: HttpRequest, *, follow_redirects: bool = True) -> AsyncIterator[HttpStream]:
        """An answer to be read chunk by chunk, of at most ``upstream_max_media_bytes``; leaving early aborts it.

        Ends with NETWORK when ``download_idle_timeout`` passes without a byte.
        """
        for _ in range(_MAX_REDIRECTS):
            async with self._open(request) as (stream, location):
                if not (follow_redirects and location):
                    yield stream
                    return
                request = _redirected(request, location)
        raise UpstreamFailure(FailureClass.UPSTREAM, "The upstream redirects in circles.", reason="redirects")

    @asynccontextmanager
    async def _open(self, request: HttpRequest) -> AsyncIterator[tuple[HttpStream, str]]:
        idle = self._settings.download_idle_timeout
        options = {
            CurlOpt.CONNECTTIMEOUT_MS: int(self._settings.upstream_connect_timeout.total_seconds() * 1000),
            CurlOpt.LOW_SPEED_LIMIT: 1,
            CurlOpt.LOW_SPEED_TIME: max(1, int(idle.total_seconds())),
        }
        transfer = Transfer(
            max_bytes=self._settings.upstream_max_media_bytes,
            pauses=True,
            own_connection=request.goes_out_once,
            options=options,
        )
        async with self._pool.session(request.proxy_url) as session:
            task = asyncio.create_task(self._perform(session, request, transfer, None), name="upstream-download")
            try:
                async with _within(idle + _GRACE, request, transfer):
                    await transfer.wait_for_head()
                head = transfer.head
                body = _guarded(request, transfer, task, idle)
                async with aclosing(body):
                    if head is None or head.status in _REDIRECTS:
                        async for _ in body:
                            pass  # A redirect's page is of no use; reading it brings the headers.
                        yield _bodiless(await task)
                    elif 200 <= head.status < 300:
                        yield HttpStream(head.status, head.content_type, head.content_length, body), ""
                    else:
                        error_body = await _beginning(body)
                        headers = _headers_of(task.result()) if len(error_body) < _ERROR_BODY_BYTES else {}
                        stream = HttpStream(
                            head.status, head.content_type, head.content_length, body, error_body, headers
                        )
                        yield stream, ""
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError, UpstreamFailure):
                    await task

    async def _perform(
        self, session: PooledSession, request: HttpRequest, transfer: Transfer, timeout: timedelta | None
    ) -> Response:
        hook = on_curl_handle.set(transfer.attach)
        try:
            response = await session.request(
                request.method,
                request.url,
                **_content_of(request.body),
                headers={**request.headers, **request.credentials},
                timeout=self._curl_timeout(timeout),
                content_callback=transfer.receive,
                allow_redirects=False,
            )
        except CurlError as exc:
            if transfer.is_too_large:
                raise _too_large(request) from exc
            raise failure_of(exc, paid=request.paid, over_proxy=bool(request.proxy_url)) from exc
        finally:
            on_curl_handle.reset(hook)
            transfer.finish()
        if response.status_code == 0:  # The pool was closed under the request.
            raise _interrupted(request)
        if response.status_code == _PROXY_LOGIN_WANTED and request.proxy_url:
            # Of a proxy for clear text; the tunnel that others open fails with an error of curl.
            raise UpstreamFailure(FailureClass.PROXY, "The proxy refuses our login.", reason="proxy_login")
        return response

    def _curl_timeout(self, timeout: timedelta | None) -> tuple[float, float] | None:
        """curl_cffi wants the time to connect and the time after it."""
        if timeout is None:
            return None
        connect = min(self._settings.upstream_connect_timeout, timeout)
        return connect.total_seconds(), (timeout - connect).total_seconds()


@asynccontextmanager
async def _within(limit: timedelta, request: HttpRequest, transfer: Transfer) -> AsyncIterator[None]:
    """The time limit of our own around a call; it includes the wait for a free handle of the pool."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except TimeoutError as exc:
        raise UpstreamFailure(
            FailureClass.NETWORK,
            "The upstream did not answer in time.",
            reason="timeout",
            may_have_been_accepted=request.paid and transfer.has_started,
            timed_out=True,
        ) from exc


async def _guarded(
    request: HttpRequest, transfer: Transfer, task: asyncio.Task[Response], idle: timedelta
) -> AsyncGenerator[bytes]:
    chunks = transfer.chunks()
    async with aclosing(chunks):
        while True:
            async with _within(idle + _GRACE, request, transfer):
                chunk = await anext(chunks, b"")
            if not chunk:
                break
            yield chunk
    await task


async def _beginning(body: AsyncIterator[bytes]) -> bytes:
    collected = b""
    async for chunk in body:
        collected += chunk
        if len(collected) >= _ERROR_BODY_BYTES:
            break
    return collected[:_ERROR_BODY_BYTES]


def _content_of(body: bytes | StreamedBody | None) -> dict[str, Any]:
    """The argument of curl_cffi that the body belongs in; what has a reader is read while it is sent."""
    return {"content": body.reader()} if isinstance(body, StreamedBody) else {"data": body}


async def _nothing() -> AsyncIterator[bytes]:
    no_chunks: tuple[bytes, ...] = ()
    for chunk in no_chunks:
        yield chunk


def _answer_of(response: Response, body: bytes) -> HttpAnswer:
    return HttpAnswer(
        status=response.status_code,
        headers=_headers_of(response),
        body=body,
        set_cookies=[value for value in response.headers.get_list("set-cookie") if value],
        location=_location_of(response),
    )


def _headers_of(response: Response) -> dict[str, str]:
    return {name.lower(): value or "" for name, value in response.headers.multi_items()}


def _bodiless(response: Response) -> tuple[HttpStream, str]:
    content_type = response.headers.get("content-type") or ""
    return HttpStream(response.status_code, content_type, 0, _nothing()), _location_of(response)


def _location_of(response: Response) -> str:
    location = response.headers.get("location") or ""
    return urljoin(response.url, location) if location and response.status_code in _REDIRECTS else ""


def _redirected(request: HttpRequest, url: str) -> HttpRequest:
    if origin_of(url) == origin_of(request.url):
        return replace(request, url=url)
    return replace(request, url=url, credentials={})


def _too_large(request: HttpRequest) -> UpstreamFailure:
    return UpstreamFailure(
        FailureClass.UPSTREAM,
        "The upstream's answer is larger than we accept.",
        reason="answer_too_large",
        may_have_been_accepted=request.paid,
    )


def _interrupted(request: HttpRequest) -> UpstreamFailure:
    return UpstreamFailure(
        FailureClass.NETWORK,
        "The connection pool was closed during the call.",
        reason="pool_closed",
        may_have_been_accepted=request.paid,
    )
