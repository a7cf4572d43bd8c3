"""HEAD wherever GET is served. Source: RFC 9110, section 9.3.2."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX: Final = "/v1/"
# Files answer HEAD themselves, without being read; events would be made for nobody until their job has ended.
_NOT_AS_GET: Final = ("/content", "/events")


def serves_head(path: str) -> bool:
    """Whether HEAD is answered as GET would be on this path, if GET is."""
    return path.startswith(_PREFIX) and not path.endswith(_NOT_AS_GET)


class HeadRequests:
    """Pure ASGI: the API's endpoints see a GET. The server leaves the body out, as it knows the true method."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not serves_head(scope["path"]):
            await self._app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send)
        finally:
            # For the logs and metrics of those around.
            scope["route"] = as_get.get("route")
