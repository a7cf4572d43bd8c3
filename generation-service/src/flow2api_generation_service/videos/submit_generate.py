"""The first stage: from a queued job to a clip that the upstream works on.

Nothing here is paid for before `HandIn` says so: until then every failure gives the job back to the queue, on another
token when the failure's rule allows one. A job found in ``submitting`` belongs to an attempt that died (or was cut off
from NATS): before its mark it is simply taken over, after its mark its answer is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError, RequestError
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.outcomes import (
    UNANSWERED,
    AttemptResult,
    NextStepAfter,
    next_step_of,
    result_of,
)
from flow2api_generation_service.catalog.video_plan import VideoOption, VideoPlan
from flow2api_generation_service.durations.learning import Durations
from flow2api_generation_service.leasing import HeldLease, LeaseClient
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_generation_service.runtime.routes import Routes
from flow2api_generation_service.videos.capacity import LeaseRefused, take_lease
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.charges import clip_micros
from flow2api_generation_service.videos.endings import EXPIRED, SUBMISSION_UNKNOWN, Ending, ending_of_failure
from flow2api_generation_service.videos.hand_in import HandIn
from flow2api_generation_service.videos.inputs import JobInputs, VideoInputs
from flow2api_generation_service.videos.job_series import BASE_RESOLUTION, generate_series
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.next_step import Later, NextStep, Step
from flow2api_generation_service.videos.planning import upstream_model_for
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.states import FINAL_STATES, JobState, Stage
from flow2api_generation_service.videos.submission import AttemptLost, Ticket
from flow2api_generation_service.videos.transitions import Attempt, JobTransitions
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.failures import RETRY_POLICY
from flow2api_upstream.port import Account, FailureClass, MediaHandle, UpstreamFailure, VideoCall
from flow2api_upstream.port_to_tokens import outcome_of, unused
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_UNANSWERED: Final = AttemptResult(UNANSWERED, next_step=NextStepAfter.END)


@dataclass(frozen=True, slots=True)
class Route:
    """An upstream model of a provider; one that the upstream does not know any more is not asked for again."""

    provider: str
    upstream_model: str


class GenerateStage:
    """Hands queued jobs in."""

    def __init__(
        self,
        *,
        database: Database,
        changes: VideoChanges,
        leases: LeaseClient,
        providers: ProviderRegistry,
        inputs: VideoInputs,
        hand_in: HandIn,
        durations: Durations,
        routes: Routes,
        clock: Clock,
        settings: VideoSettings,
    ) -> None:
        self._routes = routes
        self._database = database
        self._changes = changes
        self._leases = leases
        self._providers = providers
        self._inputs = inputs
        self._hand_in = hand_in
        self._durations = durations
        self._clock = clock
        self._settings = settings

    async def step(self, video_id: str, gone: set[Route]) -> NextStep:
        """Move a job on as far as it goes now. ``gone`` collects the routes that proved dead for it."""
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id)
        if job is None:
            return Step.DONE
        match job.state:
            case JobState.QUEUED:
                return await self._attempt(job, gone)
            case JobState.SUBMITTING:
                return await self._recover(job)
            case _:
                return Step.DONE

    async def _recover(self, job: JobRow) -> NextStep:
        if job.submit_started_at is None:
            async with self._database.transaction() as session:
                taken = await JobTransitions(session, clock=self._clock).give_back(
                    job.video_id, job.attempt_id, tried_token_ids=job.tried_token_ids, only_unpaid=True
                )
            if taken and job.lease is not None:
                log.info("video_attempt_taken_over", video_id=job.video_id, attempt_id=job.attempt_id)
                await self._release(token_pb2.Lease.FromString(job.lease), unused())
            return Step.AGAIN
        # Its worker may still be waiting for the answer, which is better than to give up.
        patience = self._settings.video_submit_limit + self._settings.video_unknown_grace
        left = job.submit_started_at + patience - self._clock()
        if left > timedelta(0):
            return Later(left)
        if self._settings.video_resubmit_unknown:
            async with self._database.transaction() as session:
                await JobTransitions(session, clock=self._clock).give_back(
                    job.video_id,
                    job.attempt_id,
                    tried_token_ids=job.tried_token_ids,
                    only_unpaid=False,
                    in_doubt=True,
                    result=AttemptResult(UNANSWERED, next_step=NextStepAfter.OTHER_ACCOUNT),
                )
            return Step.AGAIN
        # The lease is left to run out: the upstream may well be working on the clip.
        await self._end(job, SUBMISSION_UNKNOWN, job.attempt_id, _UNANSWERED)
        return Step.DONE

    async def _attempt(self, job: JobRow, gone: set[Route]) -> NextStep:
        if job.deadline_time <= self._clock():
            return await self._end(job, EXPIRED)
        try:
            inputs = await self._inputs.of(job)
        except RequestError as error:
            return await self._end(job, Ending(JobState.FAILED, error.reason.lower(), error.message))
        options = [each for each in inputs.options if Route(each.provider, each.upstream_model) not in gone]
        try:
            held = await take_lease(
                self._leases, job=job, options=options, source=inputs.source, settings=self._settings, now=self._clock()
            )
        except LeaseRefused as refused:
            return await self._wait_or_end(job, refused)
        option = options[held.candidate_index]
        attempt = await self._new_attempt(job, option, inputs.plan, held)
        async with self._database.transaction() as session:
            begun = await JobTransitions(session, clock=self._clock).begin_attempt(job.video_id, attempt)
        if not begun:
            await self._return_unused(job.video_id, held)
            return Step.AGAIN
        await self._changes.announce(job.video_id)
        return await self._run(job, attempt, held, option, inputs, gone)

    async def _wait_or_end(self, job: JobRow, refused: LeaseRefused) -> NextStep:
        if refused.ending is not None:
            return await self._end(job, refused.ending)
        if job.no_account_since != refused.no_account_since:
            async with self._database.transaction() as session:
                transitions = JobTransitions(session, clock=self._clock)
                await transitions.note_no_account(job.video_id, refused.no_account_since)
        return Later(refused.retry)

    async def _new_attempt(self, job: JobRow, option: VideoOption, plan: VideoPlan, held: HeldLease) -> Attempt:
        upstream_model = upstream_model_for(option, held.account.tier)
        series = generate_series(
            job,
            provider=option.provider,
            upstream_model=upstream_model,
            is_enlarged=option.upsampler_model is not None,
        )
        return Attempt(
            attempt_id=new_id(),
            provider=option.provider,
            upstream_model=upstream_model,
            upsampler_model=option.upsampler_model,
            token_id=held.token_id,
            lease=held.lease.SerializeToString(),
            credits=option.credits_for(held.account.tier),
            micros=clip_micros(option, plan, job),
            typical_duration_seconds=option.typical_duration_seconds,
            upscale_typical_seconds=option.upscale_typical_seconds,
            duration_quantiles_ms=await self._durations.quantiles_ms(series, option.typical_duration_seconds),
            location=held.account.location,
            passed=held.passed,
        )

    async def _run(
        self,
        job: JobRow,
        attempt: Attempt,
        held: HeldLease,
        option: VideoOption,
        inputs: JobInputs,
        gone: set[Route],
    ) -> NextStep:
        try:
            await self._hand_in.run(
                self._ticket(job, attempt, inputs.plan),
                provider=self._providers.get(option.provider),
                account=held.account,
                pictures=await self._inputs.load(inputs),
                call_for=lambda account: _call_for(job, option, inputs, account),
            )
        except AttemptLost:
            await self._return_unused(job.video_id, held)
            return Step.AGAIN
        except RequestError as error:
            step = await self._end(
                job, Ending(JobState.FAILED, error.reason.lower(), error.message), attempt.attempt_id
            )
            await self._release(held.lease, unused())
            return step
        except UpstreamFailure as failure:
            return await self._refused(job, attempt, held, failure, gone)
        return Step.DONE

    async def _refused(
        self, job: JobRow, attempt: Attempt, held: HeldLease, failure: UpstreamFailure, gone: set[Route]
    ) -> NextStep:
        log.info(
            "video_submission_refused",
            video_id=job.video_id,
            token_id=held.token_id,
            failure=failure.failure_class,
            upstream_reason=failure.reason,
            may_have_been_accepted=failure.may_have_been_accepted,
        )
        if failure.may_have_been_accepted and not self._settings.video_resubmit_unknown:
            # As in `_recover`, the lease is left to run out.
            return await self._end(job, SUBMISSION_UNKNOWN, attempt.attempt_id, result_of(failure, NextStepAfter.END))
        ending = ending_of_failure(failure, paid=False)
        rule = RETRY_POLICY[failure.failure_class]
        following = next_step_of(failure, rule)
        # The token has no room: the pool rests it, and the job waits for another one as it waits for a free one.
        is_full = following is NextStepAfter.ROOM_ELSEWHERE
        tried = list(job.tried_token_ids)
        if rule.other_token and not is_full:
            tried.append(held.token_id)
        if failure.failure_class is FailureClass.MODEL_GONE:
            gone.add(Route(attempt.provider, attempt.upstream_model))
            await self._routes.model_gone(attempt.provider, attempt.upstream_model)
        # What a location lacks is no attempt: nothing was begun, and the pool does not ask there again.
        has_attempts_left = (
            failure.failure_class is FailureClass.MODEL_NOT_HERE or len(tried) < self._settings.video_max_attempts
        )
        if (rule.other_token or rule.other_route) and has_attempts_left:
            async with self._database.transaction() as session:
                await JobTransitions(session, clock=self._clock).give_back(
                    job.video_id,
                    attempt.attempt_id,
                    tried_token_ids=tried,
                    only_unpaid=False,
                    refusal=ending,
                    in_doubt=failure.may_have_been_accepted,
                    result=result_of(failure, following),
                )
            await self._changes.announce(job.video_id)
            step: NextStep = Later(self._settings.video_capacity_retry) if is_full else Step.AGAIN
        else:
            step = await self._end(job, ending, attempt.attempt_id, result_of(failure, NextStepAfter.END))
        # After the job: a crash between the two leaves a lease that runs out, not a job whose answer seems unknown.
        await self._release(held.lease, outcome_of(failure))
        return step

    def _ticket(self, job: JobRow, attempt: Attempt, plan: VideoPlan) -> Ticket:
        def deadline_of(submit_time: datetime) -> datetime:
            deadline_time = submit_time + timedelta(seconds=plan.deadline_seconds)
            return min(deadline_time, job.deadline_time) if job.has_client_deadline else deadline_time

        return Ticket(
            video_id=job.video_id,
            model_id=job.model_id,
            stage=Stage.GENERATE,
            attempt_id=attempt.attempt_id,
            provider=attempt.provider,
            upstream_model=attempt.upstream_model,
            cost=Cost(attempt.credits, attempt.micros),
            lease=attempt.lease,
            typical_seconds=attempt.typical_duration_seconds,
            quantiles_ms=attempt.duration_quantiles_ms,
            has_next_stage=attempt.upsampler_model is not None,
            deadline_of=deadline_of,
        )

    async def _end(
        self, job: JobRow, ending: Ending, attempt_id: str | None = None, result: AttemptResult | None = None
    ) -> NextStep:
        expected: Sequence[JobState] = (JobState.QUEUED,) if attempt_id is None else (JobState.SUBMITTING,)
        async with self._database.transaction() as session:
            ended = await JobTransitions(session, clock=self._clock).end(
                job.video_id, ending, expected=expected, attempt_id=attempt_id, result=result
            )
        if not ended:
            return Step.AGAIN
        log.info("video_ended", video_id=job.video_id, state=ending.state, code=ending.code)
        await self._changes.announce(job.video_id)
        return Step.DONE

    async def _return_unused(self, video_id: str, held: HeldLease) -> None:
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(video_id)
        is_used = (
            job is not None
            and job.state not in FINAL_STATES
            and job.lease is not None
            and token_pb2.Lease.FromString(job.lease).lease_id == held.lease.lease_id
        )
        # A second delivery of the same message is given the same lease, and the attempt of the first goes on under it.
        if not is_used:
            await self._release(held.lease, unused())

    async def _release(self, lease: token_pb2.Lease, outcome: token_pb2.LeaseOutcome) -> None:
        try:
            await self._leases.release(lease, outcome)
        except Flow2APIError as error:
            # It runs out by itself.
            log.warning("lease_not_released", lease_id=lease.lease_id, reason=error.reason)


def _call_for(job: JobRow, option: VideoOption, inputs: JobInputs, account: Account) -> VideoCall:
    return VideoCall(
        upstream_model=upstream_model_for(option, account.tier),
        kind=inputs.plan.kind,
        prompt=job.prompt,
        aspect_ratio=inputs.plan.aspect_ratio,
        duration_seconds=inputs.plan.duration_seconds,
        resolution=BASE_RESOLUTION if option.upsampler_model else inputs.plan.resolution,
        seed=job.seed,
        source=MediaHandle(inputs.source.result_handle) if inputs.source else None,
        negative_prompt=job.negative_prompt,
        generate_audio=job.generate_audio,
        person_generation=job.person_generation,
    )
