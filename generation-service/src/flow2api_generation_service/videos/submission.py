"""The one call that costs something: made at most once per attempt, and its answer never lost while this process can
help it.

The order is what keeps a job from being paid for twice: a mark in the job's row (compare-and-set, so that of two
workers only one passes), then the call, then operation handle, new state and the message to the poller in one
transaction. Whoever finds the mark without an operation knows that the upstream may have been asked. The mark is taken
back when it is certain that nothing was accepted, so that a crash after that costs the job nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.outcomes import NextStepAfter, result_of
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.leasing import SeenBalance
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_generation_service.ledger.book import Placement
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.charges import VideoCharges
from flow2api_generation_service.videos.messages import Following, enqueue_following
from flow2api_generation_service.videos.outage import until_stored
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.states import Stage
from flow2api_generation_service.videos.transitions import JobTransitions, Submitted
from flow2api_upstream.port import Account, FailureClass, Provider, UpstreamFailure, VideoCall, VideoSubmission

log = get_logger(__name__)

T = TypeVar("T")

_STOP_PATIENCE: Final = timedelta(seconds=8)


class AttemptLost(Exception):
    """Somebody else has the job now, or it was cancelled; the upstream was not asked."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What one submission is about: which stage of which job, on which token, and by when it has to be ready.

    ``cost`` is its price on that token; None for what was reserved.
    """

    video_id: str
    model_id: str
    stage: Stage
    attempt_id: str
    provider: str
    upstream_model: str
    cost: Cost | None
    lease: bytes
    typical_seconds: int
    quantiles_ms: tuple[int, ...]
    has_next_stage: bool
    deadline_of: Callable[[datetime], datetime]


class Submissions:
    """Hands clips to the upstream and writes down what it answered."""

    def __init__(
        self, *, database: Database, outbox: OutboxRelay, changes: VideoChanges, clock: Clock, limit: timedelta
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._changes = changes
        self._clock = clock
        self._limit = limit

    async def submit(self, ticket: Ticket, provider: Provider, account: Account, call: VideoCall) -> SeenBalance | None:
        """Set the mark, make the call and record its answer; gives what the account has left, if the upstream told it.

        Being cancelled does not break it off: it goes on to its end, which the call's own limit bounds. Raises
        AttemptLost before anything was asked, UpstreamFailure when the upstream refused or did not answer.
        """
        return await _to_its_end(self._mark_and_submit(ticket, provider, account, call))

    async def note_repeat(self, ticket: Ticket, failure: UpstreamFailure) -> None:
        """Note that this attempt is made again on the same token. Only a note: a database that is away loses it."""
        result = result_of(failure, NextStepAfter.SAME_ACCOUNT)
        with suppress(DependencyUnavailable):
            async with self._database.transaction() as session:
                await AttemptRepository(session).again(ticket.attempt_id, result, now=self._clock())

    async def _mark_and_submit(
        self, ticket: Ticket, provider: Provider, account: Account, call: VideoCall
    ) -> SeenBalance | None:
        await self._mark(ticket)
        try:
            return await self._submit(ticket, provider, account, call)
        except UpstreamFailure as failure:
            if not failure.may_have_been_accepted:
                await until_stored(lambda: self._unmark(ticket))
            raise

    async def _mark(self, ticket: Ticket) -> None:
        try:
            async with self._database.transaction() as session:
                transitions = JobTransitions(session, clock=self._clock)
                marked = await transitions.mark_paid_call(ticket.video_id, ticket.attempt_id, ticket.stage)
        except DependencyUnavailable as error:
            # The mark may be there nevertheless.
            await until_stored(lambda: self._unmark(ticket))
            raise AttemptLost from error
        if not marked:
            raise AttemptLost

    async def _unmark(self, ticket: Ticket) -> None:
        async with self._database.transaction() as session:
            transitions = JobTransitions(session, clock=self._clock)
            if not await transitions.unmark_paid_call(ticket.video_id, ticket.attempt_id, ticket.stage):
                # Its job ended meanwhile, in doubt about this call.
                charges = VideoCharges(session, clock=self._clock)
                await charges.refused(ticket.video_id, ticket.stage, ticket.attempt_id)

    async def _submit(
        self, ticket: Ticket, provider: Provider, account: Account, call: VideoCall
    ) -> SeenBalance | None:
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self._limit.total_seconds()):
                submission = await provider.submit_video(account, call)
        except TimeoutError as error:
            raise UpstreamFailure(
                FailureClass.NETWORK,
                "The upstream did not answer in time.",
                may_have_been_accepted=True,
                timed_out=True,
            ) from error
        answered_at = time.monotonic()
        log.info(
            "video_submitted",
            video_id=ticket.video_id,
            stage=ticket.stage.name.lower(),
            token_id=account.token_id,
            operation=submission.operation_name,
        )
        # What the upstream has answered is in no other place.
        await until_stored(lambda: self._record(ticket, account.token_id, submission))
        self._outbox.wake()
        await self._changes.announce(ticket.video_id)
        if submission.remaining_credits is None:
            return None
        return SeenBalance(submission.remaining_credits, asked_at, answered_at)

    async def _record(self, ticket: Ticket, token_id: int, submission: VideoSubmission) -> None:
        now = self._clock()
        facts = Submitted(
            operation_handle=submission.operation,
            operation_name=submission.operation_name,
            remaining_credits=submission.remaining_credits,
            submit_time=now,
            deadline_time=ticket.deadline_of(now),
        )
        async with self._database.transaction() as session:
            transitions = JobTransitions(session, clock=self._clock)
            if ticket.stage is Stage.GENERATE:
                recorded = await transitions.submitted(ticket.video_id, ticket.attempt_id, facts)
            else:
                recorded = await transitions.upscale_submitted(ticket.video_id, ticket.attempt_id, facts)
            if not recorded and await transitions.submitted_too_late(ticket.video_id, facts):
                log.info("video_submitted_too_late", video_id=ticket.video_id)
            await self._charge(session, ticket, token_id, submission)
            await AttemptRepository(session).accepted(ticket.attempt_id, now=now)
            # Followed in any case: the upstream works on it, so that its token is busy and its charge is real.
            await enqueue_following(
                session,
                clock=self._clock,
                following=Following(
                    video_id=ticket.video_id,
                    model_id=ticket.model_id,
                    stage=ticket.stage,
                    provider=ticket.provider,
                    lease=ticket.lease,
                    operation_handle=facts.operation_handle,
                    submit_time=now,
                    deadline_time=facts.deadline_time,
                    typical_seconds=ticket.typical_seconds,
                    quantiles_ms=ticket.quantiles_ms,
                    has_next_stage=ticket.has_next_stage,
                ),
                # One for each attempt: an operation must not be taken for the repeat of another.
                message_id=f"{ticket.video_id}:{ticket.stage.value}:{ticket.attempt_id}",
            )

    async def _charge(self, session: AsyncSession, ticket: Ticket, token_id: int, submission: VideoSubmission) -> None:
        placement = Placement(
            token_id=token_id,
            provider=ticket.provider,
            upstream_model=ticket.upstream_model,
            attempt_id=ticket.attempt_id,
            balance_after=submission.remaining_credits,
        )
        charges = VideoCharges(session, clock=self._clock)
        entry = await charges.accepted(ticket.video_id, ticket.stage, placement=placement, cost=ticket.cost)
        if ticket.stage is Stage.UPSCALE and entry is not None and entry.credits:
            await JobTransitions(session, clock=self._clock).add_credits(ticket.video_id, entry.credits)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run this to its end even when the caller is cancelled, within reason; the cancellation is passed on after it."""
    task = asyncio.create_task(work, name="video-submission")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=_STOP_PATIENCE.total_seconds())
        if not task.done():
            # Its job keeps the mark, so that nobody submits it again.
            log.warning("video_submission_broken_off")
            task.cancel()
            await asyncio.wait({task}, timeout=1)
        elif task.exception() is not None:
            log.warning("video_submission_failed_while_stopping", error=repr(task.exception()))
        raise
