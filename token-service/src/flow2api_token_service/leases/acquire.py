"""Acquiring: a lease together with a credential that works, or a clear reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from flow2api_common.errors import (
    CapacityError,
    DependencyUnavailable,
    FailedPrecondition,
    Flow2APIError,
    NotFound,
    UpstreamError,
)
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_token_service.credentials.credential import Credential
from flow2api_token_service.credentials.provide import CredentialProvider
from flow2api_token_service.credentials.refresh import SessionDead
from flow2api_token_service.leases.model_limits import ModelLimits
from flow2api_token_service.leases.passed import Passed, to_metadata, with_reasons
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.queue import LeaseQueue
from flow2api_token_service.leases.records import LeaseRequest, Refusal, RefusalReason, TakenLease
from flow2api_token_service.proxies.router import NoProxy
from flow2api_token_service.tokens.changes import TokenChanges

log = get_logger(__name__)

_MOST_WITHOUT_PROXY = 8


# So long tokens whose access cannot be renewed are passed over, where the caller did not want to wait as long itself.
_SEARCH = timedelta(seconds=10)


class NoEligibleToken(FailedPrecondition):
    """No token of the pool could ever serve this as the pool is now; waiting is pointless."""

    default_reason = "NO_ELIGIBLE_TOKEN"


@dataclass(frozen=True, slots=True)
class Acquired:
    """A lease and what is needed to use its token. ``passed`` are the candidates before the one that is served."""

    taken: TakenLease
    credential: Credential
    passed: Sequence[Passed] = ()


class LeaseAcquirer:
    """The use case behind AcquireLease."""

    def __init__(
        self,
        *,
        index: PoolIndex,
        queue: LeaseQueue,
        limits: ModelLimits,
        credentials: CredentialProvider,
        changes: TokenChanges,
    ) -> None:
        self._index = index
        self._queue = queue
        self._limits = limits
        self._credentials = credentials
        self._changes = changes

    async def acquire(self, request: LeaseRequest, *, wait: timedelta) -> Acquired:
        """Choose, take, and give the credential; a token whose credential cannot be had is passed over.

        Raises CapacityError when nothing came free in time, NoEligibleToken, DependencyUnavailable, NoProxy, and
        UpstreamUnavailable when the only tokens that were free could not renew their access. Leaves no lease behind
        when cancelled.
        """
        request = replace(request, candidates=self._limits.applied(request.candidates))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait.total_seconds()
        give_up = max(deadline, loop.time() + _SEARCH.total_seconds())
        trouble: UpstreamError | None = None
        passed_over = 0
        while True:
            if trouble is not None and loop.time() > give_up:
                raise trouble
            attempt = replace(request, lease_id=new_id("lease"))
            answer = await self._queue.take(attempt, wait=timedelta(seconds=max(0.0, deadline - loop.time())))
            if isinstance(answer, Refusal):
                raise trouble or _refused(answer, await self._why_not(request))
            token_id = answer.lease.token_id
            try:
                credential = await self._credentials.for_lease(token_id, revision=answer.revision)
                passed = await self._why_not(request, answer.candidate_index) if answer.candidate_index else ()
                return Acquired(answer, credential, passed)
            except NoProxy as error:
                # Only a token with a proxy of its own could still serve; it is not waited for.
                trouble = error
                deadline = loop.time()
                passed_over += 1
                if passed_over == _MOST_WITHOUT_PROXY:
                    self._queue.give_back(attempt)
                    raise
            except UpstreamError as error:
                trouble = error
            except SessionDead:
                log.info("dead_token_passed_over", token_id=token_id)
            except NotFound:
                # It was deleted while Redis was away.
                await self._changes.republish(token_id)
            except BaseException:
                self._queue.give_back(attempt)
                raise
            self._queue.give_back(attempt)
            request = replace(request, excluded_token_ids=(*request.excluded_token_ids, token_id))

    async def _why_not(self, request: LeaseRequest, count: int | None = None) -> tuple[Passed, ...]:
        """Only words: without them the answer stays what it is."""
        try:
            return await self._index.explain(request, count=count)
        except DependencyUnavailable:
            return ()


def _refused(refusal: Refusal, passed: Sequence[Passed]) -> Flow2APIError:
    metadata = to_metadata(passed)
    if refusal.reason is RefusalReason.NEVER:
        return NoEligibleToken(with_reasons("No account can serve this.", passed), metadata=metadata)
    if refusal.reason is RefusalReason.KEY_BUSY:
        message = "This API key has as many generations in flight as it may."
        return CapacityError(message, reason="KEY_CONCURRENCY", retry_after=refusal.retry_after)
    if refusal.reason is RefusalReason.QUEUE_FULL:
        message = "Too many generations wait for a token already."
        return CapacityError(message, reason="QUEUE_FULL", retry_after=refusal.retry_after)
    message = with_reasons("No account is free at the moment.", passed)
    return CapacityError(message, metadata=metadata, retry_after=refusal.retry_after)
