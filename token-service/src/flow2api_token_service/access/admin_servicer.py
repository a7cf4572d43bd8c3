"""The thin gRPC edge of administrators and their sessions: translate, delegate, translate."""
# ruff: noqa: N802 - methods have the names of the RPCs

from __future__ import annotations

from typing import Any

import grpc

from flow2api_common.errors import InvalidArgument, Unauthenticated
from flow2api_proto.access.v1 import access_service_pb2 as pb
from flow2api_proto.access.v1 import access_service_pb2_grpc
from flow2api_token_service.access.admin_accounts import AdminAccounts
from flow2api_token_service.access.admins import Admins
from flow2api_token_service.access.login_limit import LoginLimit
from flow2api_token_service.access.models import AdminRow, AdminSessionRow
from flow2api_token_service.access.sessions import Sessions
from flow2api_token_service.audit.actor import actor_of, admin_actor
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.tokens.proto_to_token import page_bounds
from flow2api_token_service.tokens.token_to_proto import timestamp

Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(access_service_pb2_grpc.AccessServiceServicer):
    """The part of flow2api.access.v1.AccessService that is about administrators."""

    def __init__(
        self, *, admins: Admins, accounts: AdminAccounts, sessions: Sessions, login_limit: LoginLimit, audit: AuditLog
    ) -> None:
        self._admins = admins
        self._accounts = accounts
        self._sessions = sessions
        self._login_limit = login_limit
        self._audit = audit

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        """Open an administrator's session."""
        del context
        opened = await self._admins.login(
            username=request.username,
            password=request.password,
            client_address=request.client_address,
            user_agent=request.user_agent,
        )
        await self._audit.record(
            admin_actor(opened.admin.username),
            "admin.login",
            target=f"admin/{opened.admin.id}",
            detail=f"address: {request.client_address[:100]}",
        )
        return pb.LoginResponse(
            session_token=opened.token, expire_time=timestamp(opened.expires_at), admin=_admin(opened.admin)
        )

    async def AuthenticateSession(
        self, request: pb.AuthenticateSessionRequest, context: Context
    ) -> pb.AuthenticateSessionResponse:
        """Check a session."""
        del context
        session, admin = await self._admins.authenticate(request.session_token)
        return pb.AuthenticateSessionResponse(
            admin=_admin(admin), expire_time=timestamp(session.expires_at), session_id=session.id or ""
        )

    async def Logout(self, request: pb.LogoutRequest, context: Context) -> pb.LogoutResponse:
        """End a session."""
        del context
        try:
            session, admin = await self._admins.authenticate(request.session_token)
        except Unauthenticated:
            return pb.LogoutResponse()  # It has ended already.
        await self._admins.logout(request.session_token)
        await self._audit.record(admin_actor(admin.username), "admin.logout", target=f"session/{session.id or ''}")
        return pb.LogoutResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        """Change the password of the session's administrator."""
        del context
        _, admin = await self._admins.authenticate(request.session_token)
        actor = admin_actor(admin.username)
        async with self._audit.entry(actor, "admin.change_password", target=f"admin/{admin.id}"):
            await self._admins.change_password(
                token=request.session_token, old_password=request.old_password, new_password=request.new_password
            )
        return pb.ChangePasswordResponse()

    async def ListAdmins(self, request: pb.ListAdminsRequest, context: Context) -> pb.ListAdminsResponse:
        """Read administrators, by name."""
        del context
        limit, _ = page_bounds(request.page_size, "")
        rows = await self._accounts.page(after_username=request.page_token, limit=limit + 1)
        next_page = rows[limit - 1].username if len(rows) > limit else ""
        return pb.ListAdminsResponse(admins=[_admin(row) for row in rows[:limit]], next_page_token=next_page)

    async def CreateAdmin(self, request: pb.CreateAdminRequest, context: Context) -> pb.CreateAdminResponse:
        """Make an administrator."""
        detail = f"name: {request.username[:100]}"
        async with self._audit.entry(actor_of(context), "admin.create", detail=detail) as entry:
            row = await self._accounts.create(username=request.username, password=request.password)
            entry.target = f"admin/{row.id}"
        return pb.CreateAdminResponse(admin=_admin(row))

    async def DeleteAdmin(self, request: pb.DeleteAdminRequest, context: Context) -> pb.DeleteAdminResponse:
        """Remove an administrator."""
        async with self._audit.entry(actor_of(context), "admin.delete", target=f"admin/{request.admin_id[:64]}"):
            await self._accounts.delete(request.admin_id)
        return pb.DeleteAdminResponse()

    async def ResetAdminPassword(
        self, request: pb.ResetAdminPasswordRequest, context: Context
    ) -> pb.ResetAdminPasswordResponse:
        """Give an administrator a new password."""
        target = f"admin/{request.admin_id[:64]}"
        async with self._audit.entry(actor_of(context), "admin.reset_password", target=target):
            await self._accounts.reset_password(request.admin_id, request.new_password)
        return pb.ResetAdminPasswordResponse()

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """Read live sessions, newest first."""
        del context
        limit, _ = page_bounds(request.page_size, "")
        found = await self._sessions.page(admin_id=request.admin_id, after_id=request.page_token, limit=limit + 1)
        page = [_session(row, admin) for row, admin in found[:limit]]
        return pb.ListSessionsResponse(sessions=page, next_page_token=page[-1].session_id if len(found) > limit else "")

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        """End one session."""
        target = f"session/{request.session_id[:64]}"
        async with self._audit.entry(actor_of(context), "session.revoke", target=target) as entry:
            row = await self._sessions.revoke(request.session_id)
            entry.detail = f"admin: {row.admin_id}"
        return pb.RevokeSessionResponse()

    async def RevokeSessions(self, request: pb.RevokeSessionsRequest, context: Context) -> pb.RevokeSessionsResponse:
        """End the sessions of one administrator or of all."""
        target = f"admin/{request.admin_id[:64]}" if request.admin_id else ""
        async with self._audit.entry(actor_of(context), "session.revoke_all", target=target) as entry:
            count = await self._sessions.revoke_all(
                admin_id=request.admin_id, except_session_id=request.except_session_id
            )
            entry.detail = f"sessions: {count}"
        return pb.RevokeSessionsResponse(session_count=count)

    async def UnlockLogins(self, request: pb.UnlockLoginsRequest, context: Context) -> pb.UnlockLoginsResponse:
        """Forget wrong logins."""
        if not request.username and not request.client_address:
            raise InvalidArgument.of("username", "A name or an address is required.")
        detail = f"name: {request.username[:100]}, address: {request.client_address[:100]}"
        async with self._audit.entry(actor_of(context), "admin.unlock_logins", detail=detail):
            await self._login_limit.unlock(username=request.username, client_address=request.client_address)
        return pb.UnlockLoginsResponse()


def _admin(row: AdminRow) -> pb.Admin:
    return pb.Admin(admin_id=row.id, username=row.username, create_time=timestamp(row.created_at))


def _session(row: AdminSessionRow, admin: AdminRow) -> pb.Session:
    return pb.Session(
        session_id=row.id or "",
        admin=_admin(admin),
        create_time=timestamp(row.created_at),
        expire_time=timestamp(row.expires_at),
        client_address=row.client_address,
        user_agent=row.user_agent,
    )
