"""HEAD wherever GET is served. Source: RFC 9110, section 9.3.2."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IS_HEAD: Final = "flow2api.is_head"


def is_head(request: Request) -> bool:
    """Whether only the head of the answer is wanted, for endpoints that spare themselves the rest."""
    return bool(request.scope.get(_IS_HEAD, False))


class HeadRequests:
    """Pure ASGI: endpoints see a GET, and the answer ends where its body would begin.

    What makes the body is told then that the client has gone: a stream of events is not made for nobody.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET", _IS_HEAD: True}

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await self._app(as_get, receive, send_head)
        finally:
            # For the logs and metrics of those around.
            scope["route"] = as_get.get("route")
