"""Holding leases: renewed together while they are held, given back when they are not needed any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final, TypeVar

from flow2api_common.errors import DependencyUnavailable, Flow2APIError
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.leasing import HeldLease, LeaseClient, SeenBalance
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.failures import MAX_PROXY_SWITCHES
from flow2api_upstream.port import Account, FailureClass, UpstreamFailure
from flow2api_upstream.port_to_tokens import unused

log = get_logger(__name__)

T = TypeVar("T")

_MOST_RENEWALS: Final = 1000
_RELEASE_PAUSES_SECONDS: Final = (0.2, 1.0, 3.0, 10.0)


class HeldToken:
    """A token under lease. ``outcome`` is what the pool will be told; set it before the lease is given back."""

    def __init__(self, leases: LeaseClient, held: HeldLease) -> None:
        self._leases = leases
        self._held = held
        self._refreshed = False
        self._switch_count = 0
        self._left_project = False
        self._refreshing = asyncio.Lock()
        self.outcome: token_pb2.LeaseOutcome = unused()

    @property
    def token_id(self) -> int:
        """The token."""
        return self._held.token_id

    @property
    def account(self) -> Account:
        """In whose name to speak."""
        return self._held.account

    async def authorized(self, call: Callable[[Account], Awaitable[T]]) -> T:
        """Make an upstream call; repeat it with a fresh bearer when that is refused and in another project when that is
        gone, each once per lease, and over another proxy when that does not let it through.

        Raises UpstreamFailure.
        """
        while True:
            account = self._held.account
            try:
                return await call(account)
            except UpstreamFailure as failure:
                failure.proxy_id = account.proxy_id
                if failure.may_have_been_accepted:
                    raise
                async with self._refreshing:
                    await self._change_account(account, failure)

    async def tell_credits(self, balance: SeenBalance) -> None:
        """Tell the pool what the account had left after a call. Never fails."""
        await self._leases.tell_credits(self.token_id, balance)

    async def _change_account(self, used: Account, failure: UpstreamFailure) -> None:
        """Take another credential for the one that was of no use; raises the failure where that cannot help."""
        if failure.failure_class is FailureClass.AUTH:
            await self._refresh(used, failure)
        elif failure.failure_class is FailureClass.PROJECT_GONE:
            await self._leave_project(used, failure)
        elif failure.failure_class is FailureClass.PROXY and used.proxy_id:
            await self._switch_proxy(used, failure)
        else:
            raise failure

    async def _leave_project(self, used: Account, failure: UpstreamFailure) -> None:
        if self._held.account is not used:
            return
        if self._left_project:
            raise failure
        self._left_project = True
        try:
            account = await self._leases.credential(self.token_id, gone_project_id=used.project_id)
        except Flow2APIError as exc:
            raise failure from exc
        self._held = self._held.with_account(account, in_other_project=True)

    async def _switch_proxy(self, used: Account, failure: UpstreamFailure) -> None:
        if self._held.account is not used:
            return
        if self._switch_count >= MAX_PROXY_SWITCHES:
            raise failure
        self._switch_count += 1
        try:
            account = await self._leases.credential(self.token_id, failed_proxy_id=used.proxy_id)
        except Flow2APIError as exc:
            raise failure from exc
        self._held = self._held.with_account(account)

    async def _refresh(self, refused: Account, failure: UpstreamFailure) -> None:
        if self._held.account is not refused:
            # Another call on this lease has refreshed it meanwhile.
            return
        if self._refreshed:
            raise failure
        self._refreshed = True
        try:
            account = await self._leases.credential(self.token_id, refused.credential_version)
        except DependencyUnavailable as exc:
            # Nothing is proved about the session, so that the account must not be blamed.
            raise UpstreamFailure(FailureClass.NETWORK, "The account's access could not be renewed.") from exc
        except Flow2APIError as exc:
            raise failure from exc
        self._held = self._held.with_account(account)


class LeaseKeeper:
    """Every lease that this process holds for pictures."""

    def __init__(self, *, leases: LeaseClient, background: DrainingTasks, duration: timedelta) -> None:
        self._leases = leases
        self._background = background
        self._duration = duration
        self._held: dict[str, token_pb2.Lease] = {}

    async def acquire(
        self,
        *,
        candidates: Sequence[token_pb2.LeaseCandidate],
        api_key_id: str,
        wait: timedelta,
        excluded: Sequence[int] = (),
    ) -> HeldLease:
        """A lease for one picture, to be kept by `holding`. Raises what `LeaseClient.acquire` raises.

        A caller that is cancelled, or whose answer is lost, leaves no lease behind.
        """
        request_id = new_id("lease")
        try:
            return await self._leases.acquire(
                kind=token_pb2.KIND_IMAGE,
                candidates=candidates,
                api_key_id=api_key_id,
                wait=wait,
                duration=self._duration,
                request_id=request_id,
                excluded=excluded,
            )
        except (asyncio.CancelledError, DependencyUnavailable):
            self._background.start("abandon-lease", self._abandon(request_id))
            raise

    @asynccontextmanager
    async def holding(self, held: HeldLease) -> AsyncIterator[HeldToken]:
        """Keep a lease alive inside the block; at its end it is given back with the outcome, by a task of its own."""
        token = HeldToken(self._leases, held)
        self._held[held.lease.lease_id] = held.lease
        try:
            yield token
        finally:
            del self._held[held.lease.lease_id]
            self._background.start("release-lease", self._release(held.lease, token.outcome))

    async def run(self) -> None:
        """Renew what is held, at a quarter of the lease's lifetime, until cancelled."""
        while True:
            await asyncio.sleep(self._duration.total_seconds() / 4)
            leases = list(self._held.values())
            for start in range(0, len(leases), _MOST_RENEWALS):
                await self._renew(leases[start : start + _MOST_RENEWALS])

    async def _renew(self, leases: list[token_pb2.Lease]) -> None:
        try:
            renewals = await self._leases.renew(leases, self._duration)
        except Flow2APIError as error:
            # The next round is in time still; a lease that ends nevertheless frees itself.
            log.warning("leases_not_renewed", lease_count=len(leases), reason=error.reason)
            return
        for renewal in renewals:
            if not renewal.renewed and renewal.lease_id in self._held:
                # What was asked of the upstream is paid for and runs to its end.
                log.warning("lease_lost", lease_id=renewal.lease_id)

    async def _abandon(self, request_id: str) -> None:
        try:
            await self._leases.abandon(request_id)
        except Flow2APIError as error:
            # If there is a lease, it ends by its deadline.
            log.info("lease_not_abandoned", request_id=request_id, reason=error.reason)

    async def _release(self, lease: token_pb2.Lease, outcome: token_pb2.LeaseOutcome) -> None:
        for pause in (*_RELEASE_PAUSES_SECONDS, None):
            try:
                await self._leases.release(lease, outcome)
            except Flow2APIError as error:
                if pause is None or not isinstance(error, DependencyUnavailable):
                    log.warning("lease_not_released", lease_id=lease.lease_id, reason=error.reason)
                    return
                await asyncio.sleep(pause)
            else:
                return
