"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``content`` as ``application/json``."""
    return Response(orjson.dumps(content), status_code=status, headers=headers, media_type="application/json")
