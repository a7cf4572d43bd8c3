"""Who is asking, in the three ways in which Google's clients show a key.

Source: docs/upstream/google-official.md, section 3. A key in the query was made a header by
`flow2api_gateway.gemini.dialect`.
"""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Depends
from starlette.requests import Request

from flow2api_common.errors import PermissionDenied
from flow2api_gateway.auth.bearer import bearer_of
from flow2api_gateway.gateway import gateway_of
from flow2api_proto.access.v1 import access_service_pb2


async def google_key_of(request: Request) -> access_service_pb2.ApiKey:
    """The API key of the request. Raises PermissionDenied API_KEY_MISSING, Unauthenticated API_KEY_INVALID."""
    secret = request.headers.get("x-goog-api-key", "").strip() or bearer_of(request)
    if not secret:
        raise PermissionDenied(
            "Method doesn't allow unregistered callers. Show your API key as 'x-goog-api-key: YOUR_KEY'.",
            reason="API_KEY_MISSING",
        )
    api_key = await gateway_of(request).api_keys.authenticate(secret)
    structlog.contextvars.bind_contextvars(api_key_id=api_key.api_key_id)
    return api_key


GoogleKeyDep = Annotated[access_service_pb2.ApiKey, Depends(google_key_of)]
