"""Who is asking, as a dependency of endpoints; it runs before the body is touched."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import Depends
from starlette.requests import Request

from flow2api_common.errors import Unauthenticated
from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.auth.bearer import bearer_of
from flow2api_gateway.gateway import gateway_of
from flow2api_proto.access.v1 import access_service_pb2


async def api_key_of(request: Request) -> access_service_pb2.ApiKey:
    """The API key of the request. Raises Unauthenticated."""
    api_key = await gateway_of(request).api_keys.authenticate(bearer_of(request))
    structlog.contextvars.bind_contextvars(api_key_id=api_key.api_key_id)
    return api_key


async def session_of(request: Request) -> access_service_pb2.AuthenticateSessionResponse:
    """The administrator's session of the request. Asked each time: its end counts at once.

    Raises Unauthenticated, and PermissionDenied CSRF_REFUSED for a cookie that a page of another site has sent.
    """
    session_token = gateway_of(request).session_cookies.session_token_of(request)
    if not session_token:
        raise Unauthenticated("Log in first: POST /admin/login.", reason="SESSION_INVALID")
    with rpc_errors("token"):
        return await gateway_of(request).peers.access.AuthenticateSession(
            access_service_pb2.AuthenticateSessionRequest(session_token=session_token)
        )


async def admin_of(request: Request) -> access_service_pb2.Admin:
    """The administrator of the request's session. Raises Unauthenticated."""
    return (await session_of(request)).admin


ApiKeyDep = Annotated[access_service_pb2.ApiKey, Depends(api_key_of)]
SessionDep = Annotated[access_service_pb2.AuthenticateSessionResponse, Depends(session_of)]
AdminDep = Annotated[access_service_pb2.Admin, Depends(admin_of)]
