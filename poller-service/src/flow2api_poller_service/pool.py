"""The token pool as the poller needs it: credentials, many renewals in one call, releases."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

import grpc

from flow2api_common.errors import Flow2APIError
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger
from flow2api_proto.tokens.v1 import token_pb2, token_service_pb2, token_service_pb2_grpc
from flow2api_upstream.port import Account, FailureClass, UpstreamFailure
from flow2api_upstream.port_to_tokens import account_of

log = get_logger(__name__)

_CALL_TIMEOUT: Final = timedelta(seconds=15)
_CREDENTIAL_TIMEOUT: Final = timedelta(seconds=45)
_SHORTEST_LEASE: Final = timedelta(seconds=1)
_LONGEST_LEASE: Final = timedelta(hours=1)
_MAX_CACHED: Final = 10_000
_RELEASE_ATTEMPTS: Final = 3


class TokenPool:
    """The part of the token service that the poller needs. Raises Flow2APIError, rebuilt from what the service said."""

    def __init__(
        self, channel: grpc.aio.Channel, *, credential_ttl: timedelta, now: Callable[[], float] = monotonic
    ) -> None:
        self._stub = token_service_pb2_grpc.TokenServiceStub(channel)
        self._ttl_seconds = credential_ttl.total_seconds()
        self._now = now
        # Credentials are kept for moments and only to save calls: losing them loses nothing.
        self._cached: OrderedDict[int, tuple[float, Account]] = OrderedDict()

    async def after_failure(self, account: Account, failure: UpstreamFailure) -> Account | None:
        """Another credential for the one that a call has failed with, if that can help; None if not.

        Raises what `credential` raises.
        """
        if failure.failure_class is FailureClass.AUTH:
            return await self.credential(account.token_id, rejected_version=account.credential_version)
        if failure.failure_class is FailureClass.PROXY and account.proxy_id:
            return await self.credential(account.token_id, failed_proxy_id=account.proxy_id)
        return None

    async def credential(self, token_id: int, *, rejected_version: int = 0, failed_proxy_id: int = 0) -> Account:
        """The credential of a token; refreshed first when the upstream has just refused that version of it, over
        another proxy when that one has just failed.

        Raises FailedPrecondition when its session is dead, NotFound when the token is gone, DependencyUnavailable.
        """
        cached = self._cached.get(token_id)
        if cached is not None and not rejected_version and not failed_proxy_id and self._now() < cached[0]:
            return cached[1]
        self._cached.pop(token_id, None)
        request = token_service_pb2.GetCredentialRequest(
            token_id=token_id, rejected_version=rejected_version, failed_proxy_id=failed_proxy_id
        )
        with rpc_errors("token"):
            answer = await self._stub.GetCredential(request, timeout=_CREDENTIAL_TIMEOUT.total_seconds())
        account = account_of(answer.credential)
        self._cached[token_id] = (self._now() + self._ttl_seconds, account)
        if len(self._cached) > _MAX_CACHED:
            self._cached.popitem(last=False)
        return account

    async def renew(self, leases: Sequence[token_pb2.Lease], duration: timedelta) -> None:
        """Keep leases alive, all in one call.

        Never fails: a lease that is lost or cannot be renewed now changes nothing about its operation, which the
        upstream works on anyway.
        """
        request = token_service_pb2.RenewLeasesRequest(leases=leases)
        request.lease_duration.FromTimedelta(min(max(duration, _SHORTEST_LEASE), _LONGEST_LEASE))
        try:
            with rpc_errors("token"):
                answer = await self._stub.RenewLeases(request, timeout=_CALL_TIMEOUT.total_seconds())
        except Flow2APIError as error:
            log.warning("leases_not_renewed", lease_count=len(leases), reason=error.reason)
            return
        lost = sum(not renewal.renewed for renewal in answer.renewals)
        if lost:
            log.warning("leases_lost", lease_count=len(leases), lost_count=lost)

    async def release(
        self, lease: token_pb2.Lease, outcome: token_pb2.LeaseOutcome, *, hold: timedelta = timedelta(0)
    ) -> None:
        """End a lease, or let it live for ``hold`` (at most 1 h), and tell how it went.

        Never fails: after some tries the lease is left to run out by itself.
        """
        request = token_service_pb2.ReleaseLeaseRequest(lease=lease, outcome=outcome)
        request.hold_duration.FromTimedelta(min(hold, _LONGEST_LEASE))
        for attempt in range(1, _RELEASE_ATTEMPTS + 1):
            try:
                with rpc_errors("token"):
                    await self._stub.ReleaseLease(request, timeout=_CALL_TIMEOUT.total_seconds())
            except Flow2APIError as error:
                log.warning("lease_not_released", lease_id=lease.lease_id, reason=error.reason, attempt=attempt)
                if attempt < _RELEASE_ATTEMPTS:
                    await asyncio.sleep(attempt)
            else:
                return
