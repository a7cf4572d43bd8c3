"""The thin gRPC edge of API keys and of the audit log; that of administrators is beside it."""
# ruff: noqa: N802 - methods have the names of the RPCs

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from flow2api_common.errors import InvalidArgument, NotFound
from flow2api_proto.access.v1 import access_service_pb2 as pb
from flow2api_token_service.access.admin_accounts import AdminAccounts
from flow2api_token_service.access.admin_servicer import AdminServicer
from flow2api_token_service.access.admins import Admins
from flow2api_token_service.access.api_keys import ApiKeys
from flow2api_token_service.access.authorize import Authorizer, GenerationWish
from flow2api_token_service.access.changes import AccessChanges
from flow2api_token_service.access.login_limit import LoginLimit
from flow2api_token_service.access.proto_to_key import (
    api_key_message,
    changed_values,
    chosen_values,
    quota_message,
)
from flow2api_token_service.access.sessions import Sessions
from flow2api_token_service.audit.actor import actor_of
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.audit.models import AuditRow
from flow2api_token_service.settings import AccessSettings
from flow2api_token_service.tokens.proto_to_token import page_bounds
from flow2api_token_service.tokens.token_to_proto import duration, timestamp

Context = grpc.aio.ServicerContext[Any, Any]


class AccessServicer(AdminServicer):
    """flow2api.access.v1.AccessService."""

    def __init__(
        self,
        *,
        api_keys: ApiKeys,
        authorizer: Authorizer,
        changes: AccessChanges,
        admins: Admins,
        accounts: AdminAccounts,
        sessions: Sessions,
        login_limit: LoginLimit,
        audit: AuditLog,
        settings: AccessSettings,
    ) -> None:
        super().__init__(admins=admins, accounts=accounts, sessions=sessions, login_limit=login_limit, audit=audit)
        self._api_keys = api_keys
        self._authorizer = authorizer
        self._changes = changes
        self._audit = audit
        self._settings = settings

    async def AuthenticateApiKey(
        self, request: pb.AuthenticateApiKeyRequest, context: Context
    ) -> pb.AuthenticateApiKeyResponse:
        """Check an API key."""
        del context
        row = await self._api_keys.authenticate(request.secret)
        longest = self._api_keys.time_left(row)
        return pb.AuthenticateApiKeyResponse(
            api_key=api_key_message(row),
            cache_duration=duration(min(self._settings.api_key_cache_duration, longest)),
            unwatched_cache_duration=duration(min(self._settings.api_key_unwatched_cache_duration, longest)),
        )

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Context) -> pb.CreateApiKeyResponse:
        """Make a key."""
        detail = f"name: {request.name[:100]}"
        async with self._audit.entry(actor_of(context), "api_key.create", detail=detail) as entry:
            made = await self._api_keys.create(chosen_values(request), secret=request.secret)
            entry.target = f"api_key/{made.row.id}"
        return pb.CreateApiKeyResponse(api_key=api_key_message(made.row), secret=made.secret)

    async def GetApiKey(self, request: pb.GetApiKeyRequest, context: Context) -> pb.GetApiKeyResponse:
        """Read one key."""
        del context
        return pb.GetApiKeyResponse(api_key=api_key_message(await self._api_keys.get(request.api_key_id)))

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, context: Context) -> pb.ListApiKeysResponse:
        """Read keys, oldest first."""
        del context
        limit, _ = page_bounds(request.page_size, "")
        try:
            rows = await self._api_keys.page(after_id=request.page_token, limit=limit + 1)
        except NotFound as exc:
            raise InvalidArgument.of("page_token", "This page token was not given out by this service.") from exc
        next_page = rows[limit - 1].id if len(rows) > limit else ""
        return pb.ListApiKeysResponse(
            api_keys=[api_key_message(row) for row in rows[:limit]], next_page_token=next_page
        )

    async def UpdateApiKey(self, request: pb.UpdateApiKeyRequest, context: Context) -> pb.UpdateApiKeyResponse:
        """Change what a key may do."""
        target = f"api_key/{request.api_key.api_key_id[:64]}"
        detail = f"fields: {', '.join(sorted(request.update_mask.paths))[:200]}"
        async with self._audit.entry(actor_of(context), "api_key.update", target=target, detail=detail):
            row = await self._api_keys.update(request.api_key.api_key_id, changed_values(request))
        return pb.UpdateApiKeyResponse(api_key=api_key_message(row))

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, context: Context) -> pb.RevokeApiKeyResponse:
        """End a key for good."""
        target = f"api_key/{request.api_key_id[:64]}"
        async with self._audit.entry(actor_of(context), "api_key.revoke", target=target):
            row = await self._api_keys.revoke(request.api_key_id)
        return pb.RevokeApiKeyResponse(api_key=api_key_message(row))

    async def WatchAccessChanges(
        self, request: pb.WatchAccessChangesRequest, context: Context
    ) -> AsyncIterator[pb.WatchAccessChangesResponse]:
        """Tell which keys are changed, as it happens."""
        del request, context
        async with aclosing(self._changes.watch()) as watching:
            async for api_key_ids in watching:
                yield pb.WatchAccessChangesResponse(api_key_ids=api_key_ids)

    async def AuthorizeGeneration(
        self, request: pb.AuthorizeGenerationRequest, context: Context
    ) -> pb.AuthorizeGenerationResponse:
        """Let a generation begin, and count it."""
        del context
        authorized = await self._authorizer.authorize(
            GenerationWish(
                api_key_id=request.api_key_id,
                model_id=request.model_id,
                served_model_id=request.served_model_id,
                generation_id=request.generation_id,
            )
        )
        return pb.AuthorizeGenerationResponse(
            api_key=api_key_message(authorized.api_key), request_quota=quota_message(authorized.quota)
        )

    async def ListAuditLog(self, request: pb.ListAuditLogRequest, context: Context) -> pb.ListAuditLogResponse:
        """Read the audit log, newest first."""
        del context
        limit, before_id = page_bounds(request.page_size, request.page_token)
        rows = await self._audit.page(before_id=before_id or None, limit=limit + 1)
        next_page = str(rows[limit - 1].id) if len(rows) > limit else ""
        return pb.ListAuditLogResponse(entries=[_audit_entry(row) for row in rows[:limit]], next_page_token=next_page)


def _audit_entry(row: AuditRow) -> pb.AuditEntry:
    return pb.AuditEntry(
        entry_id=row.id,
        create_time=timestamp(row.created_at),
        actor=row.actor,
        action=row.action,
        target=row.target,
        detail=row.detail,
        outcome=row.outcome,
        request_id=row.request_id,
    )
