"""Every change of a job: one SQL statement each, guarded by the state that it expects (compare-and-set).

Each answers whether the job was as expected and is changed now; False means that somebody else was faster, and the
caller has to look at the job anew. The version rises with every change. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, CursorResult, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_generation_service.attempts.outcomes import ABANDONED, AttemptResult, NextStepAfter
from flow2api_generation_service.attempts.passed_route import PassedRoute, passed_to_json
from flow2api_generation_service.attempts.past import NewAttempt
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_generation_service.videos.charges import LINES, VideoCharges
from flow2api_generation_service.videos.endings import Ending
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.states import (
    FINAL_STATES,
    FOLLOWED_STATES,
    LIVE_STATES,
    JobState,
    Stage,
    check_transition,
)
from flow2api_generation_service.webhooks.events import enqueue_ending

_TAKEN_OVER: Final = AttemptResult(ABANDONED, next_step=NextStepAfter.TAKEN_OVER)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to hand a job to the upstream, and the token that it holds for that.

    ``passed`` are the routes before its own that had no token free.
    """

    attempt_id: str
    provider: str
    upstream_model: str
    upsampler_model: str | None
    token_id: int
    lease: bytes
    credits: int
    micros: int | None
    typical_duration_seconds: int
    upscale_typical_seconds: int
    duration_quantiles_ms: tuple[int, ...]
    location: str = ""
    passed: tuple[PassedRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class Submitted:
    """What the upstream answered to a submission."""

    operation_handle: str
    operation_name: str
    remaining_credits: int | None
    submit_time: datetime
    deadline_time: datetime


class JobTransitions:
    """The guarded changes of jobs, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._charges = VideoCharges(session, clock=clock)
        self._attempts = AttemptRepository(session)

    async def begin_attempt(self, video_id: str, attempt: Attempt) -> bool:
        """queued → submitting, owned by this attempt."""
        begun = await self._move(
            video_id,
            {JobState.QUEUED},
            JobState.SUBMITTING,
            attempt_id=attempt.attempt_id,
            attempt_count=JobRow.attempt_count + 1,
            submit_started_at=None,
            no_account_since=None,
            provider=attempt.provider,
            upstream_model=attempt.upstream_model,
            upsampler_model=attempt.upsampler_model,
            token_id=attempt.token_id,
            lease=attempt.lease,
            credits=attempt.credits,
            micros=attempt.micros,
            typical_duration_seconds=attempt.typical_duration_seconds,
            upscale_typical_seconds=attempt.upscale_typical_seconds,
            duration_quantiles_ms=list(attempt.duration_quantiles_ms),
        )
        if begun:
            where = NewAttempt(
                attempt_id=attempt.attempt_id,
                generation_id=video_id,
                line=LINES[Stage.GENERATE],
                provider=attempt.provider,
                upstream_model=attempt.upstream_model,
                token_id=attempt.token_id,
                location=attempt.location,
                passed_by=passed_to_json(attempt.passed),
            )
            await self._attempts.begin(where, now=self._clock())
        return begun

    async def note_no_account(self, video_id: str, since: datetime | None) -> bool:
        """Remember since when no account could serve a queued job; None when one could again."""
        return await self._amend(video_id, {JobState.QUEUED}, no_account_since=since)

    async def begin_upscale_attempt(
        self, video_id: str, attempt_id: str, lease: bytes, quantiles_ms: Sequence[int]
    ) -> bool:
        """Own the second stage, from nobody or from an attempt that has not asked the upstream yet."""
        return await self._amend(
            video_id,
            {JobState.UPSCALING},
            JobRow.stage == Stage.UPSCALE,
            JobRow.operation_handle.is_(None),
            JobRow.submit_started_at.is_(None),
            attempt_id=attempt_id,
            lease=lease,
            upscale_quantiles_ms=list(quantiles_ms),
        )

    async def mark_paid_call(self, video_id: str, attempt_id: str, stage: Stage) -> bool:
        """Say that the call that costs something begins now. After this the attempt is never repeated by itself."""
        return await self._amend(
            video_id,
            {JobState.SUBMITTING if stage is Stage.GENERATE else JobState.UPSCALING},
            JobRow.attempt_id == attempt_id,
            JobRow.submit_started_at.is_(None),
            submit_started_at=self._clock(),
        )

    async def unmark_paid_call(self, video_id: str, attempt_id: str, stage: Stage) -> bool:
        """Take that back. Only for the attempt itself, which knows that it has not asked, or that it was refused."""
        return await self._amend(
            video_id,
            {JobState.SUBMITTING if stage is Stage.GENERATE else JobState.UPSCALING},
            JobRow.attempt_id == attempt_id,
            submit_started_at=None,
        )

    async def give_back(
        self,
        video_id: str,
        attempt_id: str | None,
        *,
        tried_token_ids: Collection[int],
        only_unpaid: bool,
        refusal: Ending | None = None,
        in_doubt: bool = False,
        result: AttemptResult = _TAKEN_OVER,
    ) -> bool:
        """submitting → queued: nothing was paid for, so that another attempt may follow.

        With ``only_unpaid`` it is refused once the attempt has begun its paid call; without, the caller knows that the
        upstream refused the call, or with ``in_doubt`` that nobody knows. ``refusal`` is kept to be told should no
        other attempt work, ``result`` is what is noted of this one.
        """
        before = await self._locked(video_id) if in_doubt else None
        guards = [JobRow.attempt_id == attempt_id]
        if only_unpaid:
            guards.append(JobRow.submit_started_at.is_(None))
        given_back = await self._move(
            video_id,
            {JobState.SUBMITTING},
            JobState.QUEUED,
            *guards,
            attempt_id=None,
            submit_started_at=None,
            lease=None,
            token_id=None,
            tried_token_ids=list(tried_token_ids),
            error_code=refusal.code if refusal else None,
            error_message=refusal.message if refusal else None,
        )
        if given_back and attempt_id is not None:
            await self._attempts.end(attempt_id, result, now=self._clock())
        if given_back and before is not None:
            await self._charges.repeated_in_doubt(before)
        return given_back

    async def submitted(self, video_id: str, attempt_id: str, facts: Submitted) -> bool:
        """submitting → in_progress: the upstream has the job."""
        return await self._move(
            video_id,
            {JobState.SUBMITTING},
            JobState.IN_PROGRESS,
            JobRow.attempt_id == attempt_id,
            submit_time=facts.submit_time,
            deadline_time=facts.deadline_time,
            error_code=None,
            error_message=None,
            **_operation_of(facts),
        )

    async def upscale_submitted(self, video_id: str, attempt_id: str, facts: Submitted) -> bool:
        """The upstream has the second stage."""
        return await self._amend(
            video_id,
            {JobState.UPSCALING},
            JobRow.stage == Stage.UPSCALE,
            JobRow.attempt_id == attempt_id,
            deadline_time=facts.deadline_time,
            **_operation_of(facts),
        )

    async def add_credits(self, video_id: str, credit_count: int) -> bool:
        """Add to what the job has taken, whatever its state."""
        return await self._amend(video_id, frozenset(JobState), credits=JobRow.credits + credit_count)

    async def submitted_too_late(self, video_id: str, facts: Submitted) -> bool:
        """Keep what the upstream answered of a job that has reached a final state meanwhile, e.g. was cancelled."""
        return await self._amend(
            video_id,
            FINAL_STATES,
            JobRow.operation_handle.is_(None),
            submit_time=facts.submit_time,
            **_operation_of(facts),
        )

    async def raise_progress(self, video_id: str, stage: Stage, progress_percent: int) -> bool:
        """Move the estimate up, never down."""
        return await self._amend(
            video_id,
            FOLLOWED_STATES,
            JobRow.stage == stage,
            JobRow.progress_percent < progress_percent,
            progress_percent=progress_percent,
        )

    async def begin_upscaling(
        self,
        video_id: str,
        base_result_handle: str,
        deadline_time: datetime,
        *,
        counted: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        """in_progress → upscaling: the base clip is ready upstream and shall be enlarged.

        ``counted`` are the columns of what the upstream has counted for it.
        """
        begun = await self._move(
            video_id,
            {JobState.IN_PROGRESS},
            JobState.UPSCALING,
            JobRow.stage == Stage.GENERATE,
            stage=Stage.UPSCALE,
            base_operation_handle=JobRow.operation_handle,
            base_result_handle=base_result_handle,
            operation_handle=None,
            attempt_id=None,
            submit_started_at=None,
            deadline_time=deadline_time,
            **counted,
        )
        if begun:
            await self._charges.clip_made(await self._locked(video_id))
        return begun

    async def fall_back_to_base_clip(self, video_id: str, note: str, deadline_time: datetime) -> bool:
        """Give the enlargement up: from now on events about the base clip count again."""
        before = await self._locked(video_id)
        given_up = await self._amend(
            video_id,
            {JobState.UPSCALING, JobState.STORING},
            JobRow.stage == Stage.UPSCALE,
            stage=Stage.GENERATE,
            operation_handle=JobRow.base_operation_handle,
            deadline_time=deadline_time,
            note=note,
        )
        if given_up:
            await self._charges.not_enlarged(before)
        return given_up

    async def begin_storing(
        self, video_id: str, stage: Stage, *, counted: Mapping[str, Any] = MappingProxyType({})
    ) -> bool:
        """in_progress or upscaling → storing. ``counted`` are the columns of what the upstream has counted for the
        clip."""
        return await self._move(
            video_id, {JobState.IN_PROGRESS, JobState.UPSCALING}, JobState.STORING, JobRow.stage == stage, **counted
        )

    async def complete(
        self, video_id: str, stage: Stage, *, media_id: str, result_handle: str, clip_sha256: bytes = b""
    ) -> bool:
        """→ completed."""
        completed = await self._move(
            video_id,
            FOLLOWED_STATES,
            JobState.COMPLETED,
            JobRow.stage == stage,
            media_id=media_id,
            result_handle=result_handle,
            clip_sha256=clip_sha256.hex() or None,
            progress_percent=100,
            error_code=None,
            error_message=None,
        )
        if completed:
            await self._charges.completed(await self._locked(video_id))
        return completed

    async def end(
        self,
        video_id: str,
        ending: Ending,
        *,
        expected: Collection[JobState] = LIVE_STATES,
        attempt_id: str | None = None,
        stage: Stage | None = None,
        version: int | None = None,
        result: AttemptResult | None = None,
    ) -> bool:
        """→ failed, filtered, cancelled or expired, with a reason. The optional guards narrow whose end it may be.

        ``result`` is what is noted of an attempt that is under way; without it, the code of the ending.
        """
        guards: list[ColumnElement[bool]] = []
        if attempt_id is not None:
            guards.append(JobRow.attempt_id == attempt_id)
        if stage is not None:
            guards.append(JobRow.stage == stage)
        if version is not None:
            guards.append(JobRow.version == version)
        ended = await self._move(
            video_id, expected, ending.state, *guards, error_code=ending.code, error_message=ending.message
        )
        if ended:
            result = result or AttemptResult(ending.code, next_step=NextStepAfter.END)
            await self._attempts.end_all(video_id, result, now=self._clock())
            await self._charges.ended(await self._locked(video_id), ending.fate, reason=ending.code)
        return ended

    async def _move(
        self,
        video_id: str,
        expected: Collection[JobState],
        target: JobState,
        *guards: ColumnElement[bool],
        **values: Any,
    ) -> bool:
        check_transition(expected, target)
        now = self._clock()
        values |= {"state": target, "state_time": now}
        if target not in FINAL_STATES:
            return await self._amend(video_id, expected, *guards, **values)
        if not await self._amend(video_id, expected, *guards, complete_time=now, **values):
            return False
        job = await self._locked(video_id)
        await self._write_log(job)
        await enqueue_ending(self._session, job, now=now)
        return True

    async def _write_log(self, job: JobRow) -> None:
        ended = job.complete_time or self._clock()
        await RequestLogRepository(self._session).add(
            RequestLogRow(
                generation_id=job.video_id,
                operation="video",
                model_id=job.model_id,
                api_key_id=job.api_key_id,
                token_id=job.token_id,
                outcome="ok" if job.state == JobState.COMPLETED else (job.error_code or job.state).upper(),
                duration_ms=(ended - job.create_time) // timedelta(milliseconds=1),
                output_count=1 if job.state == JobState.COMPLETED else 0,
                create_time=ended,
            )
        )

    async def _locked(self, video_id: str) -> JobRow:
        """A snapshot of the job, which nobody else changes until the transaction ends."""
        job = await self._session.get_one(JobRow, video_id, populate_existing=True, with_for_update=True)
        self._session.expunge(job)
        return job

    async def _amend(
        self, video_id: str, expected: Collection[JobState], *guards: ColumnElement[bool], **values: Any
    ) -> bool:
        statement = (
            update(JobRow)
            .where(JobRow.video_id == video_id, JobRow.state.in_(expected), *guards)
            .values(version=JobRow.version + 1, **values)
            .execution_options(synchronize_session=False)
        )
        result = cast("CursorResult[Any]", await self._session.execute(statement))
        return result.rowcount == 1


def _operation_of(facts: Submitted) -> dict[str, Any]:
    return {
        "operation_handle": facts.operation_handle,
        "operation_name": facts.operation_name,
        "remaining_credits": facts.remaining_credits,
    }
