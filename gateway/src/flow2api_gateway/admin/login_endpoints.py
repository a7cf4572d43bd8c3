"""``/admin/login``, ``/admin/logout``, and the password of the one who is logged in."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.schemas import LoginBody, PasswordChangeBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep, SessionDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.access.v1 import access_service_pb2

router: Final = APIRouter(tags=["administration"])
# Strangers may send this body: it has no use for more.
_MAX_LOGIN_BYTES: Final = 16 << 10
_MAX_USER_AGENT: Final = 500


@router.post("/admin/login", summary="Log in", openapi_extra=takes_json(LoginBody), responses=ERRORS)
async def login(request: Request, gateway: GatewayDep) -> Response:
    """A session for administrators; send its ``token`` as bearer. Too many wrong logins are 429.

    With ``cookie``, for pages in a browser: the session comes as a cookie that no script can read, with a
    ``csrf_token`` in place of the ``token``. Send that as ``X-CSRF-Token`` with whatever changes something.
    """
    body = await read_json(request, LoginBody, _MAX_LOGIN_BYTES)
    if body.cookie:
        # Or another site could log its own visitor in under a name of its choice.
        gateway.session_cookies.check_origin(request)
    # The address of the connection: headers that name another one are written by whoever sends them.
    address = request.client.host if request.client else ""
    with rpc_errors("token"):
        answer = await gateway.peers.access.Login(
            access_service_pb2.LoginRequest(
                username=body.username,
                password=body.password.get_secret_value(),
                client_address=address,
                user_agent=request.headers.get("user-agent", "")[:_MAX_USER_AGENT],
            )
        )
    proof = {"token": answer.session_token}
    if body.cookie:
        proof = {"csrf_token": gateway.session_cookies.csrf_token_of(answer.session_token)}
    response = json_response(
        {
            "success": True,
            **proof,
            "username": answer.admin.username,
            "expires_at": iso_time(answer, "expire_time"),
        },
        headers={"cache-control": "no-store"},
    )
    if body.cookie:
        expire_time = answer.expire_time.ToDatetime(UTC) if answer.HasField("expire_time") else None
        gateway.session_cookies.set(response, answer.session_token, expire_time)
    return response


@router.get("/admin/session", summary="Who is logged in", responses=ERRORS)
async def current_session(request: Request, session: SessionDep, gateway: GatewayDep) -> Response:
    """The administrator of this session, and its ``csrf_token`` for a page that was loaded anew."""
    session_token = gateway.session_cookies.session_token_of(request)
    return json_response(
        {
            "id": session.session_id,
            "username": session.admin.username,
            "csrf_token": gateway.session_cookies.csrf_token_of(session_token),
        },
        headers={"cache-control": "no-store"},
    )


@router.post("/admin/logout", summary="Log out", responses=ERRORS)
async def logout(request: Request, gateway: GatewayDep) -> Response:
    """Ends the session, and takes its cookie back. Safe to repeat."""
    session_token = gateway.session_cookies.session_token_of(request)
    if session_token:
        with rpc_errors("token"):
            await gateway.peers.access.Logout(access_service_pb2.LogoutRequest(session_token=session_token))
    response = json_response({"success": True})
    if gateway.session_cookies.is_by_cookie(request):
        gateway.session_cookies.clear(response)
    return response


@router.post(
    "/admin/password", summary="Change your password", openapi_extra=takes_json(PasswordChangeBody), responses=ERRORS
)
async def change_password(request: Request, _admin: AdminDep, gateway: GatewayDep) -> Response:
    """Ends your other sessions."""
    body = await read_json(request, PasswordChangeBody, _MAX_LOGIN_BYTES)
    with rpc_errors("token"):
        await gateway.peers.access.ChangePassword(
            access_service_pb2.ChangePasswordRequest(
                session_token=gateway.session_cookies.session_token_of(request),
                old_password=body.old_password.get_secret_value(),
                new_password=body.new_password.get_secret_value(),
            )
        )
    return json_response({"success": True})
