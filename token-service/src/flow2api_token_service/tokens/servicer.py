"""The thin gRPC edge of tokens and leases: translate, delegate, translate."""
# ruff: noqa: N802 - methods have the names of the RPCs

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, cast

import grpc

from flow2api_common.logs import get_logger
from flow2api_proto.tokens.v1 import token_service_pb2 as pb
from flow2api_proto.tokens.v1 import token_service_pb2_grpc
from flow2api_token_service.audit.actor import actor_of
from flow2api_token_service.audit.audit_log import AuditLog
from flow2api_token_service.credentials.provide import CredentialProvider
from flow2api_token_service.credentials.refresh import Refresher
from flow2api_token_service.credentials.store import CredentialStore
from flow2api_token_service.health.history import TokenHistory
from flow2api_token_service.leases.acquire import LeaseAcquirer
from flow2api_token_service.leases.release import LeaseReleaser
from flow2api_token_service.leases.renew import LeaseRenewer
from flow2api_token_service.projects.ensure import ProjectKeeper
from flow2api_token_service.proxies.reports import ProxyReports
from flow2api_token_service.tokens import proto_to_token as read_proto
from flow2api_token_service.tokens.create import TokenCreator
from flow2api_token_service.tokens.export import TokenExporter
from flow2api_token_service.tokens.import_to_proto import import_result_to_proto, read_import
from flow2api_token_service.tokens.import_tokens import TokenImporter
from flow2api_token_service.tokens.read import TokenReader
from flow2api_token_service.tokens.token_to_proto import (
    credential_to_proto,
    event_to_proto,
    lease_to_proto,
    passed_to_proto,
)
from flow2api_token_service.tokens.update import TokenEditor

# Kept of the caller's time, so that the answer "nothing came free" still reaches it.
_ANSWER_RESERVE = timedelta(milliseconds=300)
_MAX_DETAIL = 500
_MAX_NAMED = 50

log = get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


class TokenServicer(token_service_pb2_grpc.TokenServiceServicer):
    """flow2api.tokens.v1.TokenService."""

    def __init__(
        self,
        *,
        creator: TokenCreator,
        editor: TokenEditor,
        reader: TokenReader,
        importer: TokenImporter,
        exporter: TokenExporter,
        history: TokenHistory,
        audit: AuditLog,
        refresher: Refresher,
        store: CredentialStore,
        credentials: CredentialProvider,
        projects: ProjectKeeper,
        acquirer: LeaseAcquirer,
        renewer: LeaseRenewer,
        releaser: LeaseReleaser,
        proxy_reports: ProxyReports,
    ) -> None:
        self._creator = creator
        self._editor = editor
        self._reader = reader
        self._importer = importer
        self._exporter = exporter
        self._history = history
        self._audit = audit
        self._refresher = refresher
        self._store = store
        self._credentials = credentials
        self._projects = projects
        self._acquirer = acquirer
        self._renewer = renewer
        self._releaser = releaser
        self._proxy_reports = proxy_reports

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Context) -> pb.CreateTokenResponse:
        """Add a token that the upstream accepts."""
        new, actor = read_proto.new_token(request), actor_of(context)
        async with self._audit.entry(actor, "token.create", detail=f"provider: {new.provider[:40]}") as entry:
            row = await self._creator.create(new, actor=actor)
            entry.target = _target(row.id)
        (token,) = await self._reader.described([row])
        return pb.CreateTokenResponse(token=token)

    async def GetToken(self, request: pb.GetTokenRequest, context: Context) -> pb.GetTokenResponse:
        """Read one token."""
        del context
        return pb.GetTokenResponse(token=await self._reader.get(request.token_id))

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """Read tokens by ascending id."""
        del context
        limit, after_id = read_proto.page_bounds(request.page_size, request.page_token)
        state = read_proto.token_state(request.state)
        page = await self._reader.page(after_id=after_id, limit=limit, provider=request.provider, state=state)
        next_page = str(page.tokens[-1].token_id) if page.has_more else ""
        return pb.ListTokensResponse(tokens=page.tokens, next_page_token=next_page, total_size=page.total_size)

    async def UpdateToken(self, request: pb.UpdateTokenRequest, context: Context) -> pb.UpdateTokenResponse:
        """Change the fields that the mask names."""
        update, actor, token_id = read_proto.token_update(request), actor_of(context), request.token.token_id
        detail = f"fields: {', '.join(sorted(set(request.update_mask.paths)))}"
        async with self._audit.entry(actor, "token.update", target=_target(token_id), detail=detail):
            row = await self._editor.update(token_id, update, actor=actor)
        (token,) = await self._reader.described([row])
        return pb.UpdateTokenResponse(token=token)

    async def DeleteToken(self, request: pb.DeleteTokenRequest, context: Context) -> pb.DeleteTokenResponse:
        """Remove a token."""
        async with self._audit.entry(actor_of(context), "token.delete", target=_target(request.token_id)):
            await self._editor.delete(request.token_id)
        return pb.DeleteTokenResponse()

    async def EnableToken(self, request: pb.EnableTokenRequest, context: Context) -> pb.EnableTokenResponse:
        """Bring a token back."""
        actor = actor_of(context)
        async with self._audit.entry(actor, "token.enable", target=_target(request.token_id)):
            row = await self._editor.enable(request.token_id, actor=actor)
        (token,) = await self._reader.described([row])
        return pb.EnableTokenResponse(token=token)

    async def DisableToken(self, request: pb.DisableTokenRequest, context: Context) -> pb.DisableTokenResponse:
        """Switch a token off."""
        actor, target = actor_of(context), _target(request.token_id)
        async with self._audit.entry(actor, "token.disable", target=target, detail=request.reason[:_MAX_DETAIL]):
            row = await self._editor.disable(request.token_id, reason=request.reason, actor=actor)
        (token,) = await self._reader.described([row])
        return pb.DisableTokenResponse(token=token)

    async def RefreshToken(self, request: pb.RefreshTokenRequest, context: Context) -> pb.RefreshTokenResponse:
        """Renew the bearer now, and read credits and tier."""
        async with self._audit.entry(actor_of(context), "token.refresh", target=_target(request.token_id)):
            version = (await self._store.read(request.token_id)).version
            await self._refresher.refresh(request.token_id, newer_than=version)
        return pb.RefreshTokenResponse(token=await self._reader.get(request.token_id))

    async def ImportTokens(self, request: pb.ImportTokensRequest, context: Context) -> pb.ImportTokensResponse:
        """Add many tokens, each with a result."""
        actor = actor_of(context)
        async with self._audit.entry(actor, "token.import") as entry:
            tokens = await read_import(request)
            entry.detail = f"tokens: {len(tokens)}"
            results = await self._importer.add_all(tokens, actor=actor)
            counts = Counter(result.status for result in results)
            entry.detail = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
        return pb.ImportTokensResponse(results=[import_result_to_proto(result) for result in results])

    async def ExportTokens(self, request: pb.ExportTokensRequest, context: Context) -> pb.ExportTokensResponse:
        """Give tokens sealed with a passphrase."""
        which = ", ".join(str(token_id) for token_id in request.token_ids[:_MAX_NAMED]) or "all"
        async with self._audit.entry(actor_of(context), "token.export", detail=f"tokens: {which}"):
            sealed, count = await self._exporter.export(request.token_ids, passphrase=request.passphrase)
        return pb.ExportTokensResponse(sealed=sealed, token_count=count)

    async def RevealToken(self, request: pb.RevealTokenRequest, context: Context) -> pb.RevealTokenResponse:
        """Give the secret of a token, in clear."""
        async with self._audit.entry(actor_of(context), "token.reveal", target=_target(request.token_id)):
            revealed = await self._store.read(request.token_id)
        log.warning("token_revealed", token_id=request.token_id, actor=actor_of(context))
        return pb.RevealTokenResponse(secret=revealed.secret.value, provider=revealed.provider)

    async def ListTokenEvents(self, request: pb.ListTokenEventsRequest, context: Context) -> pb.ListTokenEventsResponse:
        """Read what has happened to a token, newest first."""
        del context
        limit, before_id = read_proto.page_bounds(request.page_size, request.page_token)
        rows = await self._history.page(request.token_id, before_id=before_id or None, limit=limit + 1)
        next_page = str(rows[limit - 1].id) if len(rows) > limit else ""
        return pb.ListTokenEventsResponse(
            events=[event_to_proto(row) for row in rows[:limit]], next_page_token=next_page
        )

    async def GetPoolStats(self, request: pb.GetPoolStatsRequest, context: Context) -> pb.GetPoolStatsResponse:
        """Numbers of the whole pool."""
        del request, context
        return await self._reader.pool_stats()

    async def AcquireLease(self, request: pb.AcquireLeaseRequest, context: Context) -> pb.AcquireLeaseResponse:
        """Choose a token, take a lease on it, and give its credential."""
        wish = read_proto.lease_request(request)
        wait = _within(context, read_proto.wait_timeout(request.wait_timeout))
        acquired = await self._acquirer.acquire(wish, wait=wait)
        return pb.AcquireLeaseResponse(
            lease=lease_to_proto(acquired.taken.lease, acquired.taken.expire_time),
            credential=credential_to_proto(acquired.credential),
            candidate_index=acquired.taken.candidate_index,
            passed=map(passed_to_proto, acquired.passed),
        )

    async def RenewLeases(self, request: pb.RenewLeasesRequest, context: Context) -> pb.RenewLeasesResponse:
        """Move the deadlines of leases."""
        del context
        leases = read_proto.lease_records(request.leases)
        deadlines = await self._renewer.renew(leases, read_proto.lease_duration(request.lease_duration))
        if request.all_videos_renewed:
            await self._renewer.finish_restoring()
        renewals = [
            pb.LeaseRenewal(lease_id=lease.lease_id, renewed=False)
            if deadline is None
            else pb.LeaseRenewal(lease_id=lease.lease_id, renewed=True, lease=lease_to_proto(lease, deadline))
            for lease, deadline in zip(leases, deadlines, strict=True)
        ]
        return pb.RenewLeasesResponse(renewals=renewals, pool_is_restoring=await self._renewer.is_restoring())

    async def ReleaseLease(self, request: pb.ReleaseLeaseRequest, context: Context) -> pb.ReleaseLeaseResponse:
        """End a lease and count how its generation went."""
        del context
        lease, report = read_proto.lease_record(request.lease), read_proto.outcome_report(request.outcome)
        hold = read_proto.hold_duration(request.hold_duration)
        release = await self._releaser.release(lease, report, hold=hold)
        return pb.ReleaseLeaseResponse(was_live=release.was_live, nowhere_at_provider=release.nowhere_at)

    async def ReportCredits(self, request: pb.ReportCreditsRequest, context: Context) -> pb.ReportCreditsResponse:
        """Take in what an account had left after a call."""
        del context
        report = read_proto.credits_report(request)
        await self._releaser.report_credits(
            request.token_id, report.remaining_credits, age=report.age, call_duration=report.call_duration
        )
        return pb.ReportCreditsResponse()

    async def AbandonLease(self, request: pb.AbandonLeaseRequest, context: Context) -> pb.AbandonLeaseResponse:
        """End the lease of a caller who went away before it had the answer."""
        del context
        request_id = read_proto.request_id(request.request_id)
        return pb.AbandonLeaseResponse(was_live=await self._releaser.abandon(request_id))

    async def GetCredential(self, request: pb.GetCredentialRequest, context: Context) -> pb.GetCredentialResponse:
        """Give the credential of a token, renewed if the upstream has refused the one before."""
        del context
        if request.failed_proxy_id > 0:
            await self._proxy_reports.failed(request.failed_proxy_id, reason="call_failed")
        if request.gone_project_id:
            await self._projects.leave_gone(request.token_id, request.gone_project_id)
        if request.rejected_version > 0:
            credential = await self._credentials.after_rejection(
                request.token_id, rejected_version=request.rejected_version
            )
        else:
            credential = await self._credentials.current(request.token_id)
        return pb.GetCredentialResponse(credential=credential_to_proto(credential))

    async def FindNewToken(self, request: pb.FindNewTokenRequest, context: Context) -> pb.FindNewTokenResponse:
        """Tell whether a person has brought a token of a provider into use since a time."""
        del context
        provider, since = read_proto.provider_name(request.provider), read_proto.since_time(request)
        return pb.FindNewTokenResponse(found=await self._reader.has_new(provider, since))

    async def ForgetModelAbsence(
        self, request: pb.ForgetModelAbsenceRequest, context: Context
    ) -> pb.ForgetModelAbsenceResponse:
        """Let locations be asked again for a model that they had not got."""
        provider = read_proto.provider_name(request.provider)
        model = read_proto.upstream_model_name(request.upstream_model)
        count = await self._editor.forget_absence(provider, model, actor=actor_of(context))
        return pb.ForgetModelAbsenceResponse(token_count=count)


def _target(token_id: int) -> str:
    return f"token/{token_id}"


def _within(context: Context, wait: timedelta) -> timedelta:
    """The wait, cut to what is left of the caller's time."""
    # The types forget that a call may have no deadline.
    remaining = cast("float | None", context.time_remaining())
    if remaining is None:
        return wait
    # Compared in seconds: without a deadline grpc tells times beyond what a timedelta holds.
    seconds = min(wait.total_seconds(), max(0.0, remaining - _ANSWER_RESERVE.total_seconds()))
    return timedelta(seconds=seconds)
