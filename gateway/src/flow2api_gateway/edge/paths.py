"""One spelling for paths: clients that join a base URL and a path themselves may leave a slash at the end."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlash:
    """Pure ASGI: serves ``/v1/models/`` as ``/v1/models``.

    A redirect would do for a GET alone: of a POST, clients send the second request as a GET or refuse to send it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path.startswith("/v1/") and path.endswith("/"):
                scope = {**scope, "path": path.rstrip("/"), "raw_path": scope.get("raw_path", b"").rstrip(b"/")}
        await self._app(scope, receive, send)
