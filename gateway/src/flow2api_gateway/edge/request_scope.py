"""Around every request: its id, its time, its metrics, and an envelope for whatever nobody else has caught."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flow2api_common.errors import Flow2APIError, InternalError, InvalidArgument
from flow2api_common.logs import get_logger
from flow2api_common.request_context import REQUEST_ID_HEADER, incoming_request
from flow2api_gateway.edge.answer_headers import noting_headers
from flow2api_gateway.edge.bodies import nul_character
from flow2api_gateway.edge.kept_pictures import keeping_pictures
from flow2api_gateway.edge.patience import Patience, timed_receive
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.edge.uploaded_files import closing_uploaded_files
from flow2api_gateway.errors.rendering import render_error
from flow2api_gateway.operations.metrics import DURATION, IN_FLIGHT, REQUESTS

_CONTEXT_HEADERS: Final = frozenset({REQUEST_ID_HEADER, "traceparent", "tracestate"})
_QUIET_ROUTES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
# What an answer under these says is for the holder of a key alone.
_PRIVATE_PATHS: Final = ("/v1", "/admin")
# Nothing of ours is to be shown inside another page, and links carry their permission in themselves: they are not told
# on as a referrer.
_SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "openai-version": "2020-10-01",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
_HTTPS_HEADERS: Final[Mapping[str, str]] = {"strict-transport-security": "max-age=31536000"}
# nginx's word for "the client has gone"; nobody receives it.
_CLIENT_GONE: Final = 499
_HOST: Final = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*")
log = get_logger(__name__)


class RequestScope:
    """Pure ASGI: wraps ``send`` and nothing else, so that streams pass through untouched."""

    def __init__(self, app: ASGIApp, *, patience: Patience, is_https: bool) -> None:
        self._app = app
        self._patience = patience
        self._default_headers = {**_SECURITY_HEADERS, **(_HTTPS_HEADERS if is_https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with (
            incoming_request(_context_headers(scope)) as request_id,
            noting_headers() as noted_headers,
            closing_uploaded_files(),
            keeping_pictures(),
        ):
            answer = _Answer(scope, send, request_id, noted_headers, self._default_headers)
            await answer.run(self._app, timed_receive(receive, self._patience))


class _Answer:
    def __init__(
        self,
        scope: Scope,
        send: Send,
        request_id: str,
        noted_headers: Mapping[str, str],
        default_headers: Mapping[str, str],
    ) -> None:
        self._scope = scope
        self._send = send
        self._request_id = request_id
        self._noted_headers = noted_headers
        self._default_headers = default_headers
        self._begin = time.perf_counter()
        self._status = 0

    async def run(self, app: ASGIApp, receive: Receive) -> None:
        IN_FLIGHT.inc()
        try:
            if (wrong := _wrong_head(self._scope)) is not None:
                app = self._rendered(wrong)
            await app(self._scope, receive, self._send_with_headers)
        except ClientDisconnect:
            self._status = self._status or _CLIENT_GONE
        except Exception:
            log.exception("request_failed")
            if not self._status:
                answer = self._rendered(InternalError("unexpected"))
                await answer(self._scope, receive, self._send_with_headers)
        finally:
            IN_FLIGHT.dec()
            self._tell()

    async def _send_with_headers(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            headers[REQUEST_ID_HEADER] = self._request_id
            headers["openai-processing-ms"] = str(int((time.perf_counter() - self._begin) * 1000))
            headers.update(self._noted_headers)
            for name, value in self._default_headers.items():
                headers.setdefault(name, value)
            if self._scope["path"].startswith(_PRIVATE_PATHS):
                headers.setdefault("cache-control", "no-store")
            message = {**message, "headers": headers.raw}
        await self._send(message)

    def _rendered(self, error: Flow2APIError) -> Response:
        rendered = render_error(error, path=self._scope["path"])
        return json_response(rendered.body, status=rendered.status, headers=rendered.headers)

    def _tell(self) -> None:
        seconds = time.perf_counter() - self._begin
        method, route = self._scope["method"], _route_of(self._scope)
        REQUESTS.labels(method, route, str(self._status)).inc()
        DURATION.labels(method, route).observe(seconds)
        if route not in _QUIET_ROUTES:
            log.info(
                "request_answered",
                method=method,
                route=route,
                status=self._status,
                duration_ms=round(seconds * 1000, 1),
            )


def _wrong_head(scope: Scope) -> InvalidArgument | None:
    """What nobody may ask, whoever it is."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        return nul_character()
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    # HTTP/1.0 knows no Host. Source: RFC 9112, section 3.2; RFC 3986, section 3.2.2.
    if (not hosts and scope["http_version"] == "1.1") or len(hosts) > 1 or not all(map(_HOST.fullmatch, hosts)):
        return InvalidArgument("The request needs one valid 'Host' header.", reason="INVALID_REQUEST")
    return None


def _context_headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name.decode("latin-1") in _CONTEXT_HEADERS
    }


def _route_of(scope: Scope) -> str:
    """The route's pattern, so that ids do not become label values; ``unmatched`` for everything else."""
    return getattr(scope.get("route"), "path", "unmatched")
