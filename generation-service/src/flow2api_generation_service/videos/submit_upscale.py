"""The second stage: a finished clip is enlarged, on the token that it lives on, under the lease that made it.

The base clip is good whatever happens here, so that every failure that lasts ends with it instead of failing the job.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import CapacityError, Flow2APIError, RequestError
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.outcomes import (
    ABANDONED,
    UNANSWERED,
    AttemptResult,
    NextStepAfter,
    result_of,
)
from flow2api_generation_service.attempts.past import NewAttempt
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.durations.learning import Durations
from flow2api_generation_service.leasing import LeaseClient
from flow2api_generation_service.videos.base_clip import fall_back_to_base_clip
from flow2api_generation_service.videos.capacity import lease_duration
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.charges import LINES
from flow2api_generation_service.videos.deadlines import stage_deadline
from flow2api_generation_service.videos.hand_in import HandIn
from flow2api_generation_service.videos.job_series import upscale_series
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.next_step import Later, NextStep, Step
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.states import FINAL_STATES, JobState, Stage
from flow2api_generation_service.videos.submission import AttemptLost, Ticket
from flow2api_generation_service.videos.transitions import JobTransitions
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port import MediaHandle, UpstreamFailure, VideoCall, VideoKind
from flow2api_upstream.port_to_tokens import outcome_of, success
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_GIVEN_UP: Final = AttemptResult(ABANDONED, next_step=NextStepAfter.BASE_CLIP)


class UpscaleStage:
    """Hands finished clips in to be enlarged."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: OutboxRelay,
        changes: VideoChanges,
        leases: LeaseClient,
        providers: ProviderRegistry,
        hand_in: HandIn,
        durations: Durations,
        clock: Clock,
        settings: VideoSettings,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._changes = changes
        self._leases = leases
        self._providers = providers
        self._hand_in = hand_in
        self._durations = durations
        self._clock = clock
        self._settings = settings

    async def step(self, video_id: str) -> NextStep:
        """Move the enlargement of a job on as far as it goes now."""
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id)
        if job is None or job.stage != Stage.UPSCALE or job.operation_handle:
            return Step.DONE
        if job.state in FINAL_STATES and job.submit_started_at is None and job.lease is not None:
            # Cancelled in between. Its base clip was made under this lease, and nobody follows anything under it now.
            await self._release(token_pb2.Lease.FromString(job.lease), success())
        if job.state != JobState.UPSCALING:
            return Step.DONE
        if job.submit_started_at is None:
            return await self._attempt(job)
        patience = self._settings.video_submit_limit + self._settings.video_unknown_grace
        left = job.submit_started_at + patience - self._clock()
        if left > timedelta(0):
            return Later(left)
        return await self._give_up(
            job, "The answer of the upstream was lost.", AttemptResult(UNANSWERED, next_step=NextStepAfter.BASE_CLIP)
        )

    async def _attempt(self, job: JobRow) -> NextStep:
        if job.deadline_time <= self._clock():
            return await self._give_up(job, "Its account did not come free in time.")
        try:
            lease = await self._kept_lease(job)
            account = await self._leases.credential(lease.token_id)
        except CapacityError:
            return Later(self._settings.video_capacity_retry)
        except Flow2APIError as error:
            if isinstance(error, RequestError):
                return await self._give_up(job, error.message)
            raise
        attempt_id = new_id()
        quantiles_ms = await self._durations.quantiles_ms(upscale_series(job), job.upscale_typical_seconds)
        async with self._database.transaction() as session:
            transitions = JobTransitions(session, clock=self._clock)
            begun = await transitions.begin_upscale_attempt(
                job.video_id, attempt_id, lease.SerializeToString(), quantiles_ms
            )
            if begun:
                attempts = AttemptRepository(session)
                lost = AttemptResult(ABANDONED, next_step=NextStepAfter.TAKEN_OVER)
                await attempts.end_all(job.video_id, lost, now=self._clock())
                where = NewAttempt(
                    attempt_id=attempt_id,
                    generation_id=job.video_id,
                    line=LINES[Stage.UPSCALE],
                    provider=job.provider or "",
                    upstream_model=job.upsampler_model or "",
                    token_id=lease.token_id,
                    location=account.location,
                )
                await attempts.begin(where, now=self._clock())
        if not begun:
            return Step.AGAIN
        try:
            await self._hand_in.run(
                self._ticket(job, attempt_id, lease, quantiles_ms),
                provider=self._providers.get(job.provider or ""),
                account=account,
                pictures=(),
                call_for=lambda _account: _call_for(job),
            )
        except AttemptLost:
            return Step.AGAIN
        except RequestError as error:
            return await self._give_up(job, error.message)
        except UpstreamFailure as failure:
            log.info("video_upscale_refused", video_id=job.video_id, failure=failure.failure_class)
            step = await self._give_up(job, failure.message, result_of(failure, NextStepAfter.BASE_CLIP))
            await self._tell_pool(lease, failure)
            return step
        return Step.DONE

    async def _kept_lease(self, job: JobRow) -> token_pb2.Lease:
        lease = token_pb2.Lease.FromString(job.lease or b"")
        duration = lease_duration(self._settings, job.upscale_typical_seconds)
        (renewal,) = await self._leases.renew([lease], duration)
        if renewal.renewed:
            return renewal.lease
        # It ran out while the job waited here; the clip lives on this token alone.
        candidate = token_pb2.LeaseCandidate(
            provider=job.provider or "", upstream_model=job.upsampler_model or "", affinity_token_id=lease.token_id
        )
        held = await self._leases.acquire(
            kind=token_pb2.KIND_VIDEO,
            candidates=[candidate],
            api_key_id=job.api_key_id,
            wait=self._settings.video_lease_wait,
            duration=duration,
            request_id=f"{job.video_id}:upscale:{job.version}",
        )
        return held.lease

    def _ticket(self, job: JobRow, attempt_id: str, lease: token_pb2.Lease, quantiles_ms: tuple[int, ...]) -> Ticket:
        def deadline_of(submit_time: datetime) -> datetime:
            return stage_deadline(job, submit_time)

        return Ticket(
            video_id=job.video_id,
            model_id=job.model_id,
            stage=Stage.UPSCALE,
            attempt_id=attempt_id,
            provider=job.provider or "",
            upstream_model=job.upsampler_model or "",
            # What was reserved for it: the enlargement costs the same on every account.
            cost=None,
            lease=lease.SerializeToString(),
            typical_seconds=job.upscale_typical_seconds,
            quantiles_ms=quantiles_ms,
            has_next_stage=False,
            deadline_of=deadline_of,
        )

    async def _give_up(self, job: JobRow, reason: str, result: AttemptResult = _GIVEN_UP) -> NextStep:
        async with self._database.transaction() as session:
            current = await JobRepository(session).get(job.video_id)
            if current is None or not await fall_back_to_base_clip(
                session, clock=self._clock, job=current, reason=reason
            ):
                return Step.AGAIN
            await AttemptRepository(session).end_all(job.video_id, result, now=self._clock())
        self._outbox.wake()
        await self._changes.announce(job.video_id)
        return Step.DONE

    async def _tell_pool(self, lease: token_pb2.Lease, failure: UpstreamFailure) -> None:
        if failure.may_have_been_accepted:
            # Left to run out: the upstream may be working on it.
            return
        await self._release(lease, outcome_of(failure))

    async def _release(self, lease: token_pb2.Lease, outcome: token_pb2.LeaseOutcome) -> None:
        try:
            await self._leases.release(lease, outcome)
        except Flow2APIError as error:
            log.warning("lease_not_released", lease_id=lease.lease_id, reason=error.reason)


def _call_for(job: JobRow) -> VideoCall:
    return VideoCall(
        upstream_model=job.upsampler_model or "",
        kind=VideoKind.UPSCALE,
        prompt=job.prompt,
        aspect_ratio=job.aspect_ratio,
        duration_seconds=job.duration_seconds,
        resolution=job.upscale_to or "1080p",
        seed=job.seed,
        source=MediaHandle(job.base_result_handle or ""),
    )
