"""``/admin/admins`` and ``/admin/sessions``: who administers, and where they are logged in."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from flow2api_common.grpc_client import rpc_errors
from flow2api_gateway.admin.acting import acting
from flow2api_gateway.admin.schemas import AdminCreateBody, PasswordResetBody
from flow2api_gateway.admin.times import iso_time
from flow2api_gateway.auth.dependencies import AdminDep, SessionDep
from flow2api_gateway.edge.bodies import read_json
from flow2api_gateway.edge.responses import json_response
from flow2api_gateway.gateway import GatewayDep
from flow2api_gateway.openai.documents import ERRORS, takes_json
from flow2api_proto.access.v1 import access_service_pb2 as pb

router: Final = APIRouter(tags=["administration"])
_PAGE: Final = 1000
_MAX_BYTES: Final = 16 << 10


@router.get("/admin/admins", summary="List administrators", responses=ERRORS)
async def list_admins(_admin: AdminDep, gateway: GatewayDep) -> Response:
    """All of them, by name."""
    admins: list[dict[str, Any]] = []
    page_token = ""
    while True:
        with rpc_errors("token"):
            page = await gateway.peers.access.ListAdmins(pb.ListAdminsRequest(page_size=_PAGE, page_token=page_token))
        admins.extend(admin_json(admin) for admin in page.admins)
        page_token = page.next_page_token
        if not page_token:
            return json_response(admins)


@router.post(
    "/admin/admins", summary="Make an administrator", openapi_extra=takes_json(AdminCreateBody), responses=ERRORS
)
async def make_admin(request: Request, admin: AdminDep, gateway: GatewayDep) -> Response:
    """They log in with this name and password."""
    body = await read_json(request, AdminCreateBody, _MAX_BYTES)
    creation = pb.CreateAdminRequest(username=body.username, password=body.password.get_secret_value())
    with rpc_errors("token"):
        answer = await gateway.peers.access.CreateAdmin(creation, metadata=acting(admin))
    return json_response(admin_json(answer.admin))


@router.delete("/admin/admins/{admin_id}", summary="Remove an administrator", responses=ERRORS)
async def remove_admin(admin_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Ends their sessions. The last one cannot be removed."""
    with rpc_errors("token"):
        await gateway.peers.access.DeleteAdmin(pb.DeleteAdminRequest(admin_id=admin_id), metadata=acting(admin))
    return json_response({"success": True})


@router.post(
    "/admin/admins/{admin_id}/password",
    summary="Reset a password",
    openapi_extra=takes_json(PasswordResetBody),
    responses=ERRORS,
)
async def reset_password(request: Request, admin_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """Ends all sessions of that administrator."""
    body = await read_json(request, PasswordResetBody, _MAX_BYTES)
    reset = pb.ResetAdminPasswordRequest(admin_id=admin_id, new_password=body.new_password.get_secret_value())
    with rpc_errors("token"):
        await gateway.peers.access.ResetAdminPassword(reset, metadata=acting(admin))
    return json_response({"success": True})


@router.get("/admin/sessions", summary="List sessions", responses=ERRORS)
async def list_sessions(session: SessionDep, gateway: GatewayDep) -> Response:
    """Who is logged in, since when and from where; newest first."""
    sessions: list[dict[str, Any]] = []
    page_token = ""
    while True:
        request = pb.ListSessionsRequest(page_size=_PAGE, page_token=page_token)
        with rpc_errors("token"):
            page = await gateway.peers.access.ListSessions(request)
        sessions.extend(session_json(each, current_id=session.session_id) for each in page.sessions)
        page_token = page.next_page_token
        if not page_token:
            return json_response(sessions)


@router.delete("/admin/sessions/{session_id}", summary="End a session", responses=ERRORS)
async def end_session(session_id: str, admin: AdminDep, gateway: GatewayDep) -> Response:
    """At once, at every gateway."""
    with rpc_errors("token"):
        await gateway.peers.access.RevokeSession(pb.RevokeSessionRequest(session_id=session_id), metadata=acting(admin))
    return json_response({"success": True})


@router.delete("/admin/sessions", summary="End all sessions", responses=ERRORS)
async def end_sessions(
    session: SessionDep,
    gateway: GatewayDep,
    admin_id: Annotated[str, Query(description="Only those of this administrator.")] = "",
    keep_current: Annotated[bool, Query(description="Go on with the session that asks.")] = True,  # noqa: FBT002 - a query
) -> Response:
    """Those of one administrator or of all, but for the one that asks."""
    request = pb.RevokeSessionsRequest(admin_id=admin_id, except_session_id=session.session_id if keep_current else "")
    with rpc_errors("token"):
        answer = await gateway.peers.access.RevokeSessions(request, metadata=acting(session.admin))
    return json_response({"success": True, "ended": answer.session_count})


def admin_json(admin: pb.Admin) -> dict[str, Any]:
    """An administrator."""
    return {"id": admin.admin_id, "username": admin.username, "created_at": iso_time(admin, "create_time")}


def session_json(session: pb.Session, *, current_id: str) -> dict[str, Any]:
    """A session, without its bearer."""
    return {
        "id": session.session_id,
        "admin_id": session.admin.admin_id,
        "username": session.admin.username,
        "created_at": iso_time(session, "create_time"),
        "expires_at": iso_time(session, "expire_time"),
        "client_address": session.client_address,
        "user_agent": session.user_agent,
        "is_current": bool(current_id) and session.session_id == current_id,
    }
