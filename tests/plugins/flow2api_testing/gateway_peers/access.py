"""API keys, logins and sessions that gateway tests are answered with."""

# ruff: noqa: N802 - the servicers have the names of the RPCs.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from flow2api_common.errors import (
    Conflict,
    DependencyUnavailable,
    FailedPrecondition,
    Flow2APIError,
    InvalidArgument,
    NotFound,
    Unauthenticated,
)
from flow2api_proto.access.v1 import access_service_pb2, access_service_pb2_grpc
from flow2api_testing.gateway_peers.content import API_KEY, SESSION


class FakeAccess(access_service_pb2_grpc.AccessServiceServicer):
    """One key, one administrator."""

    def __init__(self) -> None:
        self.key_checks = 0
        self.logins: list[access_service_pb2.LoginRequest] = []
        self.created: list[access_service_pb2.CreateApiKeyRequest] = []
        self.key_gate: asyncio.Event | None = None
        self.cache_duration = timedelta(seconds=30)
        self.unwatched_cache_duration = timedelta(seconds=30)
        self.revoked = False
        self.revocations: list[access_service_pb2.RevokeSessionsRequest] = []
        self.watches: list[asyncio.Queue[tuple[str, ...] | None]] = []
        self.is_deaf = False
        self.login_error: Flow2APIError | None = None
        self.allowed_models: list[str] = []
        self.updates: list[access_service_pb2.UpdateApiKeyRequest] = []
        self.audit: list[access_service_pb2.AuditEntry] = []

    async def AuthenticateApiKey(self, request: Any, context: Any) -> Any:
        self.key_checks += 1
        if self.key_gate is not None:
            await self.key_gate.wait()
        if request.secret != API_KEY or self.revoked:
            raise Unauthenticated("Incorrect API key provided.", reason="API_KEY_INVALID")
        answer = access_service_pb2.AuthenticateApiKeyResponse(
            api_key=access_service_pb2.ApiKey(api_key_id="key_1", name="first", allowed_models=self.allowed_models)
        )
        answer.cache_duration.FromTimedelta(self.cache_duration)
        answer.unwatched_cache_duration.FromTimedelta(self.unwatched_cache_duration)
        return answer

    async def ListAuditLog(self, request: Any, context: Any) -> Any:
        before = int(request.page_token or 10**9)
        older = [entry for entry in self.audit if entry.entry_id < before]
        page = older[: request.page_size]
        has_more = len(older) > len(page)
        return access_service_pb2.ListAuditLogResponse(
            entries=page, next_page_token=str(page[-1].entry_id) if has_more else ""
        )

    async def WatchAccessChanges(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if self.is_deaf:
            raise DependencyUnavailable("deaf")
        changes: asyncio.Queue[tuple[str, ...] | None] = asyncio.Queue()
        self.watches.append(changes)
        changed: tuple[str, ...] | None = ()
        while changed is not None:
            yield access_service_pb2.WatchAccessChangesResponse(api_key_ids=changed)
            changed = await changes.get()

    def tell(self, changed: tuple[str, ...] | None) -> None:
        """Tell the gateway that keys were changed; None ends the stream."""
        self.watches[-1].put_nowait(changed)

    async def CreateApiKey(self, request: Any, context: Any) -> Any:
        self.created.append(request)
        key = access_service_pb2.ApiKey(api_key_id="key_2", name=request.name, prefix="sk-new")
        return access_service_pb2.CreateApiKeyResponse(api_key=key, secret="sk-new-secret")

    async def GetApiKey(self, request: Any, context: Any) -> Any:
        if request.api_key_id != "key_1":
            raise NotFound("There is no such key.", reason="API_KEY_NOT_FOUND")
        return access_service_pb2.GetApiKeyResponse(api_key=access_service_pb2.ApiKey(api_key_id="key_1", weight=3))

    async def UpdateApiKey(self, request: Any, context: Any) -> Any:
        self.updates.append(request)
        if "expire_time" in request.update_mask.paths and request.api_key.expire_time.seconds == 1:
            raise InvalidArgument.of("expire_time", "This time has passed.")
        return access_service_pb2.UpdateApiKeyResponse(api_key=request.api_key)

    async def ListApiKeys(self, request: Any, context: Any) -> Any:
        keys = [access_service_pb2.ApiKey(api_key_id=f"key_{index}", name="n") for index in (1, 2)]
        if request.page_token:
            return access_service_pb2.ListApiKeysResponse(api_keys=keys[1:])
        return access_service_pb2.ListApiKeysResponse(api_keys=keys[:1], next_page_token="more")

    async def RevokeApiKey(self, request: Any, context: Any) -> Any:
        if request.api_key_id != "key_1":
            raise NotFound("There is no such key.", reason="API_KEY_NOT_FOUND")
        key = access_service_pb2.ApiKey(api_key_id="key_1", name="first")
        key.revoke_time.GetCurrentTime()
        return access_service_pb2.RevokeApiKeyResponse(api_key=key)

    async def Login(self, request: Any, context: Any) -> Any:
        self.logins.append(request)
        if self.login_error:
            raise self.login_error
        if (request.username, request.password) != ("admin", "right-password"):
            raise Unauthenticated("Wrong name or password.", reason="LOGIN_INVALID")
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        return access_service_pb2.LoginResponse(session_token=SESSION, admin=admin)

    async def AuthenticateSession(self, request: Any, context: Any) -> Any:
        if request.session_token != SESSION:
            raise Unauthenticated("Log in first.", reason="SESSION_INVALID")
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        return access_service_pb2.AuthenticateSessionResponse(admin=admin, session_id="session_1")

    async def Logout(self, request: Any, context: Any) -> Any:
        return access_service_pb2.LogoutResponse()

    async def ChangePassword(self, request: Any, context: Any) -> Any:
        if request.old_password != "right-password":
            raise Unauthenticated("The old password is wrong.", reason="LOGIN_INVALID")
        return access_service_pb2.ChangePasswordResponse()

    async def ListAdmins(self, request: Any, context: Any) -> Any:
        admins = [access_service_pb2.Admin(admin_id=str(number), username=f"a{number}") for number in (1, 2)]
        if request.page_token:
            return access_service_pb2.ListAdminsResponse(admins=admins[1:])
        return access_service_pb2.ListAdminsResponse(admins=admins[:1], next_page_token="more")

    async def CreateAdmin(self, request: Any, context: Any) -> Any:
        if request.username == "taken":
            raise Conflict("This name is taken.", reason="ADMIN_EXISTS")
        if len(request.password) < 8:
            raise InvalidArgument.of("password", "A password has 8 to 1024 characters.")
        admin = access_service_pb2.Admin(admin_id="3", username=request.username)
        return access_service_pb2.CreateAdminResponse(admin=admin)

    async def DeleteAdmin(self, request: Any, context: Any) -> Any:
        if request.admin_id == "1":
            raise FailedPrecondition("The last administrator cannot be removed.", reason="LAST_ADMIN")
        return access_service_pb2.DeleteAdminResponse()

    async def ResetAdminPassword(self, request: Any, context: Any) -> Any:
        if request.admin_id == "9":
            raise NotFound("There is no such administrator.", reason="ADMIN_NOT_FOUND")
        return access_service_pb2.ResetAdminPasswordResponse()

    async def ListSessions(self, request: Any, context: Any) -> Any:
        admin = access_service_pb2.Admin(admin_id="1", username="admin")
        sessions = [
            access_service_pb2.Session(session_id=f"session_{number}", admin=admin, client_address="10.0.0.1")
            for number in (1, 2)
        ]
        return access_service_pb2.ListSessionsResponse(sessions=sessions)

    async def RevokeSession(self, request: Any, context: Any) -> Any:
        if request.session_id != "session_1":
            raise NotFound("There is no such session.", reason="SESSION_NOT_FOUND")
        return access_service_pb2.RevokeSessionResponse()

    async def RevokeSessions(self, request: Any, context: Any) -> Any:
        self.revocations.append(request)
        return access_service_pb2.RevokeSessionsResponse(session_count=5)
