"""Leases and credentials of the token pool, in the words of the providers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from flow2api_common.errors import FailedPrecondition, Flow2APIError
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.passed_route import PassedRoute, passed_of_answer, passed_of_error
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_upstream.port import Account
from flow2api_upstream.port_to_tokens import account_of

log = get_logger(__name__)

NO_ELIGIBLE_TOKEN: Final = "NO_ELIGIBLE_TOKEN"  # noqa: S105 - a reason, no secret

ModelListener: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Told a provider and its upstream model."""

_CALL_TIMEOUT: Final = timedelta(seconds=15)
# A refresh speaks to the upstream.
_CREDENTIAL_TIMEOUT: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class HeldLease:
    """A lease and the account that it is on. ``candidate_index`` says which of the candidates is served, ``passed`` why
    those before it were not."""

    lease: token_pb2.Lease
    account: Account
    provider: str
    candidate_index: int
    passed: tuple[PassedRoute, ...] = ()

    @property
    def token_id(self) -> int:
        """The token that is leased."""
        return self.lease.token_id

    def with_account(self, account: Account, *, in_other_project: bool = False) -> HeldLease:
        """The same lease with a fresh credential; it stays in its project, where its media are, unless that is gone."""
        return replace(self, account=account if in_other_project else in_same_project(account, self.account))


@dataclass(frozen=True, slots=True)
class SeenBalance:
    """What an account had left after a call, and when that was asked and answered, by ``time.monotonic``."""

    remaining_credits: int
    asked_at: float
    answered_at: float


class LeaseClient:
    """The part of the token service that a generation needs. Raises the Flow2APIError that the service said."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = token_service_pb2_grpc.TokenServiceStub(channel)
        self._tell_nowhere: ModelListener | None = None

    def listen(self, listener: ModelListener) -> None:
        """Call this whenever the pool says that a provider's model is nowhere any more; it must not raise."""
        self._tell_nowhere = listener

    async def acquire(
        self,
        *,
        kind: token_pb2.Kind.ValueType,
        candidates: Sequence[token_pb2.LeaseCandidate],
        api_key_id: str,
        wait: timedelta,
        duration: timedelta,
        request_id: str,
        excluded: Sequence[int] = (),
    ) -> HeldLease:
        """Lease a token that serves one of the candidates, waiting for one to come free.

        Safe to repeat with the same ``request_id``. Cancelling it gives the place in the queue back, but an answer that
        is under way already takes its lease with it: see `abandon`. Raises
        CapacityError when nothing came free in time, FailedPrecondition with NO_ELIGIBLE_TOKEN when waiting is
        pointless, DependencyUnavailable.
        """
        request = token_service_pb2.AcquireLeaseRequest(
            request_id=request_id,
            kind=kind,
            candidates=candidates,
            api_key_id=api_key_id,
            lease_duration=_duration(duration),
            wait_timeout=_duration(max(wait, timedelta(0))),
            excluded_token_ids=excluded,
        )
        timeout = max(wait, timedelta(0)) + _CALL_TIMEOUT
        try:
            with rpc_errors("token"):
                answer = await self._stub.AcquireLease(request, timeout=timeout.total_seconds())
        except Flow2APIError as error:
            passed = passed_of_error(error, candidates)
            if passed:
                log.info("no_account_free", reason=error.reason, routes={str(route): route.words for route in passed})
            await self._tell(passed)
            raise
        passed = passed_of_answer(answer.passed, candidates, answer.candidate_index)
        await self._tell(passed)
        return HeldLease(
            lease=answer.lease,
            account=account_of(answer.credential),
            provider=answer.credential.provider,
            candidate_index=answer.candidate_index,
            passed=passed,
        )

    async def renew(
        self, leases: Sequence[token_pb2.Lease], duration: timedelta
    ) -> list[token_service_pb2.LeaseRenewal]:
        """Move the deadlines of leases; one answer each, in their order. Raises DependencyUnavailable."""
        request = token_service_pb2.RenewLeasesRequest(leases=leases, lease_duration=_duration(duration))
        with rpc_errors("token"):
            answer = await self._stub.RenewLeases(request, timeout=_CALL_TIMEOUT.total_seconds())
        return list(answer.renewals)

    async def pool_is_restoring(self) -> bool:
        """Whether the pool has lost its leases and waits for them. Raises DependencyUnavailable."""
        request = token_service_pb2.RenewLeasesRequest(lease_duration=_duration(_CALL_TIMEOUT))
        with rpc_errors("token"):
            answer = await self._stub.RenewLeases(request, timeout=_CALL_TIMEOUT.total_seconds())
        return answer.pool_is_restoring

    async def finish_restoring(self) -> None:
        """Tell the pool that the leases of all videos have been renewed. Raises DependencyUnavailable."""
        request = token_service_pb2.RenewLeasesRequest(lease_duration=_duration(_CALL_TIMEOUT), all_videos_renewed=True)
        with rpc_errors("token"):
            await self._stub.RenewLeases(request, timeout=_CALL_TIMEOUT.total_seconds())

    async def release(self, lease: token_pb2.Lease, outcome: token_pb2.LeaseOutcome) -> bool:
        """End a lease and tell how it went; answers whether it was still live. Safe to repeat."""
        request = token_service_pb2.ReleaseLeaseRequest(lease=lease, outcome=outcome)
        with rpc_errors("token"):
            answer = await self._stub.ReleaseLease(request, timeout=_CALL_TIMEOUT.total_seconds())
        if answer.nowhere_at_provider:
            await self._nowhere(answer.nowhere_at_provider, lease.upstream_model)
        return answer.was_live

    async def abandon(self, request_id: str) -> None:
        """End the lease that an `acquire` has taken without its caller knowing. Safe to repeat.

        Only for a ``request_id`` that nobody repeats.
        """
        request = token_service_pb2.AbandonLeaseRequest(request_id=request_id)
        with rpc_errors("token"):
            await self._stub.AbandonLease(request, timeout=_CALL_TIMEOUT.total_seconds())

    async def report_credits(self, token_id: int, balance: SeenBalance) -> None:
        """Tell what an account had left after a call. In any order; safe to repeat. Raises DependencyUnavailable."""
        request = token_service_pb2.ReportCreditsRequest(
            token_id=token_id,
            remaining_credits=balance.remaining_credits,
            age=_duration(timedelta(seconds=time.monotonic() - balance.answered_at)),
            call_duration=_duration(timedelta(seconds=balance.answered_at - balance.asked_at)),
        )
        with rpc_errors("token"):
            await self._stub.ReportCredits(request, timeout=_CALL_TIMEOUT.total_seconds())

    async def tell_credits(self, token_id: int, balance: SeenBalance) -> None:
        """`report_credits`, for those who have more important things to do: a pool that is away sees the balance at its
        next look."""
        try:
            await self.report_credits(token_id, balance)
        except Flow2APIError as error:
            log.info("credits_not_reported", token_id=token_id, reason=error.reason)

    async def credential(
        self, token_id: int, rejected_version: int = 0, failed_proxy_id: int = 0, gone_project_id: str = ""
    ) -> Account:
        """The account of a token; refreshed first when the upstream has just refused that version of its credential,
        over another proxy when that one has just failed, in another project when the upstream does not know that one.

        Raises FailedPrecondition when its session is dead, NotFound, DependencyUnavailable.
        """
        request = token_service_pb2.GetCredentialRequest(
            token_id=token_id,
            rejected_version=rejected_version,
            failed_proxy_id=failed_proxy_id,
            gone_project_id=gone_project_id,
        )
        with rpc_errors("token"):
            answer = await self._stub.GetCredential(request, timeout=_CREDENTIAL_TIMEOUT.total_seconds())
        return account_of(answer.credential)

    async def has_new_account(self, provider: str, since: datetime) -> bool:
        """Whether a person has added, enabled or renewed an account since a time. Raises DependencyUnavailable."""
        request = token_service_pb2.FindNewTokenRequest(provider=provider, since_time=_timestamp(since))
        with rpc_errors("token"):
            answer = await self._stub.FindNewToken(request, timeout=_CALL_TIMEOUT.total_seconds())
        return answer.found

    async def forget_absence(self, provider: str, upstream_model: str) -> None:
        """Have the locations that had not got a model asked again. Safe to repeat. Raises DependencyUnavailable."""
        request = token_service_pb2.ForgetModelAbsenceRequest(provider=provider, upstream_model=upstream_model)
        with rpc_errors("token"):
            await self._stub.ForgetModelAbsence(request, timeout=_CALL_TIMEOUT.total_seconds())

    async def _tell(self, passed: Sequence[PassedRoute]) -> None:
        for route in passed:
            if route.is_nowhere:
                await self._nowhere(route.provider, route.upstream_model)

    async def _nowhere(self, provider: str, upstream_model: str) -> None:
        if self._tell_nowhere is not None:
            await self._tell_nowhere(provider, upstream_model)


def _timestamp(value: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(value)
    return timestamp


def in_same_project(account: Account, before: Account) -> Account:
    """A fresh account in the project of the one before."""
    return replace(account, project_id=before.project_id or account.project_id)


def is_hopeless(error: Flow2APIError) -> bool:
    """Whether the pool said that no token could ever serve this as it is now."""
    return isinstance(error, FailedPrecondition) and error.reason == NO_ELIGIBLE_TOKEN


def _duration(value: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(value)
    return duration
