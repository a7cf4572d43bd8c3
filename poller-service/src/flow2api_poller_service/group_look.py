"""Looks at many operations of one token in one upstream call, and says what each answer means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from flow2api_common.clock import Clock
from flow2api_common.errors import DependencyUnavailable, Flow2APIError, NotFound
from flow2api_common.logs import get_logger
from flow2api_poller_service.look import Look
from flow2api_poller_service.pool import TokenPool
from flow2api_poller_service.resting import RestingTokens
from flow2api_poller_service.schedule import Schedule
from flow2api_poller_service.verdicts import Verdict, account_removed, judge, unanswered
from flow2api_upstream.port import (
    OperationHandle,
    OperationState,
    OperationStatus,
    Provider,
    UpstreamFailure,
)

log = get_logger(__name__)


class GroupLooks:
    """Asks the upstream. A token that does not answer, or is rate limited, slows its own operations and no others."""

    def __init__(self, *, pool: TokenPool, clock: Clock, schedule: Schedule) -> None:
        self._pool = pool
        self._clock = clock
        self._schedule = schedule
        self._resting = RestingTokens()

    async def look(self, provider: Provider, looks: Sequence[Look]) -> list[Verdict]:
        """A verdict for each operation, in order. All are of one token. Raises nothing but cancellation."""
        token_id = looks[0].token_id
        left = self._resting.left(token_id, self._clock())
        if left:
            # Other operations of it found out: asking again now would only prolong it.
            return self._left_alone(looks, left)
        try:
            statuses = await self._ask(provider, token_id, [look.operation for look in looks])
        except NotFound:
            return [account_removed() for _ in looks]
        except UpstreamFailure as failure:
            log.warning(
                "status_not_answered",
                token_id=token_id,
                operation_count=len(looks),
                failure=failure.failure_class,
                upstream_reason=failure.reason,
            )
            return self._unanswered(token_id, looks, failure.retry_after)
        except Flow2APIError as error:
            log.warning("status_not_asked", token_id=token_id, operation_count=len(looks), reason=error.reason)
            is_short = isinstance(error, DependencyUnavailable)
            return self._unanswered(token_id, looks, error.retry_after if is_short else None)
        except Exception:
            # A mistake of ours: whichever operation it is about, the others are looked at, and itself can expire.
            log.exception("status_look_failed", token_id=token_id, operation_count=len(looks))
            if len(looks) > 1:
                return [verdict for look in looks for verdict in await self.look(provider, [look])]
            # The token is not to blame, and does not rest.
            return self._left_alone(looks, self._schedule.slowed_delay(attempt=0, asked_for=None))
        self._resting.answered(token_id)
        return self._judged(looks, statuses)

    def _judged(self, looks: Sequence[Look], statuses: Mapping[OperationHandle, OperationStatus]) -> list[Verdict]:
        now = self._clock()
        return [
            judge(
                look,
                statuses.get(look.operation) or OperationStatus(look.operation, OperationState.MISSING),
                now=now,
                schedule=self._schedule,
            )
            for look in looks
        ]

    async def _ask(
        self, provider: Provider, token_id: int, operations: Sequence[OperationHandle]
    ) -> Mapping[OperationHandle, OperationStatus]:
        account = await self._pool.credential(token_id)
        try:
            return await provider.check_videos(account, operations)
        except UpstreamFailure as failure:
            other = await self._pool.after_failure(account, failure)
            if other is None:
                raise
        return await provider.check_videos(other, operations)

    def _unanswered(self, token_id: int, looks: Sequence[Look], asked_for: timedelta | None) -> list[Verdict]:
        attempt = self._resting.failure_count(token_id)
        delay = self._schedule.slowed_delay(attempt=attempt, asked_for=asked_for)
        self._resting.rest(token_id, until=self._clock() + delay)
        return self._left_alone(looks, delay)

    def _left_alone(self, looks: Sequence[Look], delay: timedelta) -> list[Verdict]:
        now = self._clock()
        return [unanswered(look, now=now, delay=delay) for look in looks]
