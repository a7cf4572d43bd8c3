"""Which requests speak Google's protocol, and one spelling for them.

Google's clients use ``/v1beta``, ``/v1alpha`` when told to, and ``/v1``. The last shares paths with OpenAI's API: there
a Google client is known by its headers, or by a path that OpenAI does not have. Those of Vertex use ``/v1beta1`` and
``/v1``, and name a project and a location, except with express keys. Source: docs/upstream/google-official.md,
sections 2, 3, 12.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

KEY_HEADER: Final = b"x-goog-api-key"
_CLIENT_HEADERS: Final = frozenset({KEY_HEADER, b"x-goog-api-client"})
VERTEX_MODELS: Final = "/v1beta1/projects/{project}/locations/{location}/publishers/google/models"
EXPRESS_MODELS: Final = "/v1beta1/publishers/google/models"
_VERTEX: Final = "/v1beta1/"
_PREFIXES: Final = ("/v1beta/", "/upload/v1beta/", _VERTEX)
_SHARED = re.compile(r"/v1/(models|files)(?=[/:]|$)")
_GOOGLE_ALONE = re.compile(r"/v1/(interactions(?=/|$)|operations/|models/.+:[A-Za-z]+$|models/.+/operations/)")
_VERTEX_STABLE: Final = ("/v1/projects/", "/v1/publishers/")
_ALPHA = re.compile(r"(/upload)?/v1alpha/")
# What interactions are asked and answered is the same on both APIs, and so is their envelope of errors.
_VERTEX_INTERACTIONS = re.compile(r"/v1beta1/projects/[^/]+/locations/[^/]+(?P<rest>/interactions(?:/.*)?)")


def speaks_google(path: str) -> bool:
    """Whether the path, as `GoogleDialect` leaves it, is one of Google's APIs."""
    return path.startswith(_PREFIXES)


def speaks_vertex(path: str) -> bool:
    """Whether the path, as `GoogleDialect` leaves it, is one that Vertex alone has."""
    return path.startswith(_VERTEX)


class GoogleDialect:
    """Pure ASGI: one version of each API, and a key in the query becomes the header.

    The latter at the very edge, so that nothing behind it can write the key into a log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = _google_path(scope)
            if path is not None:
                scope = _with_key_header({**scope, "path": path, "raw_path": path.encode()})
        await self._app(scope, receive, send)


def _google_path(scope: Scope) -> str | None:
    path: str = scope["path"]
    if path.startswith(_VERTEX_STABLE):
        path = f"{_VERTEX}{path.removeprefix('/v1/')}"
    if (interactions := _VERTEX_INTERACTIONS.fullmatch(path)) is not None:
        return f"/v1beta{interactions['rest']}"
    if _ALPHA.match(path):
        return path.replace("/v1alpha/", "/v1beta/", 1)
    if speaks_google(path):
        return path
    if path.startswith("/upload/v1/"):
        return path.replace("/v1/", "/v1beta/", 1)
    if _GOOGLE_ALONE.match(path) or (_SHARED.match(path) and _is_google_client(scope)):
        return f"/v1beta{path.removeprefix('/v1')}"
    return None


def _is_google_client(scope: Scope) -> bool:
    return any(name in _CLIENT_HEADERS for name, _ in scope["headers"]) or _query_key(scope) is not None


def _query_key(scope: Scope) -> str | None:
    if b"key=" not in scope["query_string"]:
        return None
    return next((value for name, value in _query(scope) if name == "key"), None)


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _with_key_header(scope: Scope) -> Scope:
    key = _query_key(scope)
    if key is None:
        return scope
    rest = urlencode([(name, value) for name, value in _query(scope) if name != "key"])
    headers = list(scope["headers"])
    if not any(name == KEY_HEADER for name, _ in headers):
        headers.append((KEY_HEADER, key.encode("latin-1", "replace")))
    return {**scope, "query_string": rest.encode("latin-1"), "headers": headers}
