"""The ledger of videos without servers: real use cases over a real database, an upstream whose till is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from flow2api_common.database import Database
from flow2api_common.errors import CapacityError
from flow2api_common.media_store import MediaStore
from flow2api_common.settings import load_settings
from flow2api_generation_service.catalog.catalog import load_catalog
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoPlan
from flow2api_generation_service.durations.learning import Durations
from flow2api_generation_service.ledger.amounts import Budget, Cost
from flow2api_generation_service.ledger.models import LedgerDayRow, LedgerEntryRow
from flow2api_generation_service.ledger.states import OPEN_STATES, EntryState
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import MediaRetentionSettings
from flow2api_generation_service.videos.base_clip import fall_back_to_base_clip
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.charges import VideoCharges, clip_micros
from flow2api_generation_service.videos.end import VideoEnd
from flow2api_generation_service.videos.endings import EXPIRED, SUBMISSION_UNKNOWN, Ending
from flow2api_generation_service.videos.events import EventConsumer
from flow2api_generation_service.videos.messages import PROTO_STAGES
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import FINAL_STATES, JobState, Stage
from flow2api_generation_service.videos.submission import Submissions, Ticket
from flow2api_generation_service.videos.transitions import Attempt, JobTransitions
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_upstream.port import (
    Account,
    AccountTier,
    FailureClass,
    OperationHandle,
    UpstreamFailure,
    VideoCall,
    VideoKind,
    VideoSubmission,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TOKEN_ID = 3
PLAIN, ENLARGED = "veo_3_1_t2v_fast_landscape", "veo_3_1_t2v_4k"
SOLD, COUNTED = "veo-3.1-fast", "gemini-omni-1.1-flash"
COUNTED_TOKENS = video_events_pb2.CountedTokens(input_tokens=7, output_tokens=46_336)
FLOW_PRICES = {
    (PLAIN, Stage.GENERATE): 20,
    (ENLARGED, Stage.GENERATE): 100,
    (ENLARGED, Stage.UPSCALE): 50,
    (SOLD, Stage.GENERATE): 20,
}
# 8 s at 0.10; 46 336 output tokens at 17.50 and 7 input tokens at 1.50 per million, in millionths of a dollar.
MICROS = {SOLD: 800_000, COUNTED: 810_880 + 11}


_FAILED = video_events_pb2.VIDEO_FAILURE_KIND_FAILED
_EXPIRED = video_events_pb2.VIDEO_FAILURE_KIND_EXPIRED


@dataclass
class Operation:
    """A clip that the upstream has accepted, and whether it was told so that somebody follows it."""

    video_id: str
    model_id: str
    stage: Stage
    provider: str
    is_followed: bool = False

    @property
    def price(self) -> Cost:
        if self.provider == "flow":
            return Cost(FLOW_PRICES[self.model_id, self.stage])
        return Cost(0, MICROS[self.model_id])


class Upstream:
    """Takes the price when it accepts a clip, and gives it back when it fails; credits and money in a till each."""

    def __init__(self) -> None:
        self.till: Counter[str] = Counter()
        self.money: Counter[str] = Counter()
        self.running: list[Operation] = []
        self.on_call: Callable[[], Awaitable[None]] | None = None
        self.answer = "accepts"

    async def submit_video(self, account: Account, call: VideoCall) -> VideoSubmission:
        video_id, _, model_id = call.prompt.partition(" ")
        if self.on_call is not None:
            await self.on_call()
        if self.answer == "refuses":
            raise UpstreamFailure(FailureClass.THROTTLED, "too fast")
        if self.answer == "is cut off before":
            raise UpstreamFailure(FailureClass.NETWORK, "cut off", may_have_been_accepted=True)
        stage = Stage.UPSCALE if call.kind is VideoKind.UPSCALE else Stage.GENERATE
        operation = Operation(video_id, model_id, stage, call.upstream_model)
        self._take(operation, 1)
        self.running.append(operation)
        if self.answer == "is cut off after":
            raise UpstreamFailure(FailureClass.NETWORK, "cut off", may_have_been_accepted=True)
        operation.is_followed = True
        return VideoSubmission(operation=OperationHandle("{}"), operation_name="op", remaining_credits=1000)

    def fail(self, operation: Operation) -> None:
        self.running.remove(operation)
        self._take(operation, -1)

    def _take(self, operation: Operation, sign: int) -> None:
        self.till[operation.video_id] += sign * operation.price.credits
        self.money[operation.video_id] += sign * (operation.price.micros or 0)


class Away:
    """A server that is not there: nothing is told to other replicas, and leases run out."""

    is_connected = False

    async def release(self, *_: Any) -> bool:
        return False


class LedgerWorld:
    """Jobs, what the upstream has taken for them, and what the ledger says."""

    models = (PLAIN, ENLARGED, SOLD, COUNTED)

    def __init__(self, database: Database, directory: Path, budget: Budget) -> None:
        self.database = database
        self.budget = budget
        self.upstream = Upstream()
        self.jobs: list[str] = []
        self.refused = 0
        self.events: list[video_events_pb2.VideoEvent] = []
        self._catalog = load_catalog()
        changes = VideoChanges(nats=cast("Any", Away()))
        outbox = OutboxRelay(
            database=database,
            publisher=cast("Any", Away()),
            clock=self.clock,
            interval=timedelta(seconds=1),
            claim=timedelta(seconds=1),
        )
        media = MediaService(
            database=database,
            store=MediaStore.open(f"file://{directory}"),
            settings=load_settings(MediaRetentionSettings),
            clock=self.clock,
        )
        self._submissions = Submissions(
            database=database, outbox=outbox, changes=changes, clock=self.clock, limit=timedelta(seconds=10)
        )
        self._end = VideoEnd(database=database, media=media, changes=changes, clock=self.clock)
        self._consumer = EventConsumer(
            database=database,
            outbox=outbox,
            changes=changes,
            media=media,
            leases=cast("Any", Away()),
            durations=Durations(database=database, clock=self.clock, interval=timedelta(0)),
            prices=self._catalog.prices,
            clock=self.clock,
        )

    def clock(self) -> datetime:
        return NOW

    def plan(self, model_id: str) -> VideoPlan:
        return self._catalog.plan_video(VideoFacts(model_id))

    async def create(self, model_id: str) -> bool:
        """Accept a job; False when the budget does not hold it."""
        video_id = f"video_{len(self.jobs)}"
        plan = self.plan(model_id)
        job = JobRow(
            video_id=video_id,
            api_key_id="key_1",
            request_hash="0" * 64,
            model_id=model_id,
            prompt=f"{video_id} {model_id}",
            kind="text",
            aspect_ratio="16:9",
            duration_seconds=8,
            resolution=plan.resolution,
            upscale_to=plan.upscale_to,
            seed=7,
            typical_duration_seconds=80,
            deadline_seconds=900,
            state=JobState.QUEUED,
            create_time=NOW,
            state_time=NOW,
            deadline_time=NOW + timedelta(hours=1),
        )
        try:
            async with self.database.transaction() as session:
                await JobRepository(session).add(job)
                await VideoCharges(session, clock=self.clock).reserve(job, plan, self.budget)
        except CapacityError:
            self.refused += 1
            return False
        self.jobs.append(video_id)
        return True

    async def job(self, video_id: str) -> JobRow | None:
        async with self.database.transaction(read_only=True) as session:
            return await JobRepository(session).get(video_id)

    async def change(self, change: Callable[[JobTransitions], Awaitable[bool]]) -> bool:
        async with self.database.transaction() as session:
            return await change(JobTransitions(session, clock=self.clock))

    async def submit(self, job: JobRow, *, crash: str = "", ends_when_refused: bool = True) -> None:
        """What a submit worker does with a queued job; ``crash`` names where it dies."""
        attempt_id = f"{job.video_id}_attempt_{job.attempt_count + 1}"
        stage, plan = Stage.GENERATE, self.plan(job.model_id)
        option = plan.options[job.attempt_count % len(plan.options)]
        attempt = Attempt(
            attempt_id=attempt_id,
            provider=option.provider,
            upstream_model=option.upstream_model,
            upsampler_model=option.upsampler_model,
            token_id=TOKEN_ID,
            lease=b"",
            credits=option.credits_for(AccountTier.ONE),
            micros=clip_micros(option, plan, job),
            typical_duration_seconds=80,
            upscale_typical_seconds=0,
            duration_quantiles_ms=(),
        )
        if not await self.change(lambda t: t.begin_attempt(job.video_id, attempt)):
            return
        if await self._call(job, attempt, stage, crash):
            return
        if self.upstream.answer == "refuses" and not ends_when_refused:
            await self.change(
                lambda t: t.give_back(job.video_id, attempt_id, tried_token_ids=[TOKEN_ID], only_unpaid=False)
            )
            return
        refusal = Ending(JobState.FAILED, "upstream_unavailable", "no")
        ending = refusal if self.upstream.answer == "refuses" else SUBMISSION_UNKNOWN
        await self.change(lambda t: t.end(job.video_id, ending, expected={JobState.SUBMITTING}, attempt_id=attempt_id))

    async def enlarge(self, job: JobRow, *, crash: str = "") -> None:
        """What a submit worker does with a clip that is to be enlarged."""
        attempt_id = f"{job.video_id}_attempt_up_{job.version}"
        if not await self.change(lambda t: t.begin_upscale_attempt(job.video_id, attempt_id, b"", ())):
            return
        if not await self._call(job, attempt_id, Stage.UPSCALE, crash):
            await self.fall_back(job.video_id)

    async def fall_back(self, video_id: str) -> None:
        async with self.database.transaction() as session:
            job = await JobRepository(session).get(video_id)
            if job is not None:
                await fall_back_to_base_clip(session, clock=self.clock, job=job, reason="no")

    async def _call(self, job: JobRow, attempt: Attempt | str, stage: Stage, crash: str) -> bool:
        """Whether the job is out of the worker's hands: the upstream has it, or the worker is dead."""
        attempt_id = attempt if isinstance(attempt, str) else attempt.attempt_id
        provider = "flow" if isinstance(attempt, str) else attempt.provider
        ticket = Ticket(
            video_id=job.video_id,
            model_id=job.model_id,
            stage=stage,
            attempt_id=attempt_id,
            provider=provider,
            upstream_model="model" if isinstance(attempt, str) else attempt.upstream_model,
            cost=None if isinstance(attempt, str) else Cost(attempt.credits, attempt.micros),
            lease=b"",
            typical_seconds=80,
            quantiles_ms=(),
            has_next_stage=False,
            deadline_of=lambda time: time + timedelta(minutes=15),
        )
        kind = VideoKind.UPSCALE if stage is Stage.UPSCALE else VideoKind.TEXT
        call = VideoCall(
            upstream_model=provider,
            kind=kind,
            prompt=job.prompt,
            aspect_ratio="16:9",
            duration_seconds=8,
            resolution="720p",
            seed=7,
        )
        account = Account(token_id=TOKEN_ID, bearer="x")
        if crash == "before the mark":
            return True
        if crash:
            if await self.change(lambda t: t.mark_paid_call(job.video_id, attempt_id, stage)) and crash == "after":
                await self._upstream_alone(account, call)
            return True
        try:
            await self._submissions.submit(ticket, cast("Any", self.upstream), account, call)
        except UpstreamFailure:
            return False
        return True

    async def _upstream_alone(self, account: Account, call: VideoCall) -> None:
        try:
            await self.upstream.submit_video(account, call)
        except UpstreamFailure:
            return
        self.upstream.running[-1].is_followed = False

    async def recover(self, job: JobRow, *, resubmit: bool) -> None:
        """What the next worker does with a job whose worker is dead."""
        if job.state == JobState.UPSCALING:
            if job.submit_started_at is not None:
                await self.fall_back(job.video_id)
        elif job.submit_started_at is None or resubmit:
            is_marked = job.submit_started_at is not None
            await self.change(
                lambda t: t.give_back(
                    job.video_id,
                    job.attempt_id,
                    tried_token_ids=[],
                    only_unpaid=not is_marked,
                    in_doubt=is_marked,
                )
            )
        else:
            await self.change(
                lambda t: t.end(
                    job.video_id, SUBMISSION_UNKNOWN, expected={JobState.SUBMITTING}, attempt_id=job.attempt_id
                )
            )

    async def cancel(self, job: JobRow) -> None:
        if job.state not in FINAL_STATES:
            await self._end.cancel(job.video_id, api_key_id="key_1")

    async def delete(self, job: JobRow) -> None:
        await self._end.delete(job.video_id, api_key_id="key_1")

    async def expire(self, job: JobRow) -> None:
        await self.change(lambda t: t.end(job.video_id, EXPIRED, expected={JobState(job.state)}, version=job.version))

    def works_on(self, operation: Operation, outcome: str) -> None:
        """The upstream ends an operation, and the poller tells it if it follows it."""
        event = video_events_pb2.VideoEvent(video_id=operation.video_id, stage=PROTO_STAGES[operation.stage])
        if outcome == "fails":
            self.upstream.fail(operation)
            event.failed.CopyFrom(video_events_pb2.VideoFailed(kind=_FAILED, code="upstream_error", refunded=True))
        elif outcome == "is late":
            self.upstream.running.remove(operation)
            event.failed.CopyFrom(video_events_pb2.VideoFailed(kind=_EXPIRED, code="expired"))
        elif outcome == "is lost":
            self.upstream.running.remove(operation)
            event.failed.CopyFrom(video_events_pb2.VideoFailed(kind=_FAILED, code="media_not_stored", charge_kept=True))
        else:
            self.upstream.running.remove(operation)
            if operation.model_id == ENLARGED and operation.stage is Stage.GENERATE:
                event.stage_done.result_handle = "{}"
            else:
                event.stored.CopyFrom(
                    video_events_pb2.VideoStored(
                        media_id=f"m{len(self.events)}", object_key="x", content_type="video/mp4"
                    )
                )
        if operation.model_id == COUNTED and outcome not in {"fails", "is late"}:
            event.counted_tokens.CopyFrom(COUNTED_TOKENS)
        if operation.is_followed:
            self.events.append(event)

    async def deliver(self, event: video_events_pb2.VideoEvent) -> None:
        await self._consumer.apply(event)

    async def entries(self) -> list[LedgerEntryRow]:
        async with self.database.transaction(read_only=True) as session:
            return list((await session.scalars(select(LedgerEntryRow))).all())

    async def check(self) -> None:
        """The ledger adds up, keeps the budget, and never contradicts the upstream's till."""
        entries = await self.entries()
        async with self.database.transaction(read_only=True) as session:
            day = await session.get(LedgerDayRow, ("key_1", NOW.date()))
        for unit in ("credits", "micros"):
            self._check_sums(unit, entries, day)
            for video_id in self.jobs:
                self._check_job(unit, video_id, entries)

    def _check_sums(self, unit: str, entries: list[LedgerEntryRow], day: LedgerDayRow | None) -> None:
        def total(name: str, states: Collection[str] = tuple(EntryState)) -> int:
            return sum(getattr(entry, name) or 0 for entry in entries if entry.state in states)

        def of_day(name: str) -> int:
            return getattr(day, f"{name}_{unit}") if day else 0

        for name in ("reserved", "released"):
            assert total(f"{name}_{unit}") == of_day(name), (unit, name)
        settled, is_open = total(unit, {EntryState.SETTLED}), total(unit, OPEN_STATES)
        assert (of_day("settled"), of_day("open")) == (settled, is_open), unit
        budget = getattr(self.budget, unit)
        assert budget is None or settled + is_open <= budget, unit

    def _check_job(self, unit: str, video_id: str, entries: list[LedgerEntryRow]) -> None:
        mine = [entry for entry in entries if entry.generation_id == video_id]
        spent = sum(getattr(entry, unit) or 0 for entry in mine if entry.state == EntryState.SETTLED)
        possible = sum(getattr(entry, unit) or 0 for entry in mine if entry.state != EntryState.RELEASED)
        till = self.upstream.till if unit == "credits" else self.upstream.money
        story = [(entry.line, entry.state, getattr(entry, unit), entry.reason) for entry in mine]
        assert spent <= till[video_id] <= possible, (unit, till[video_id], story)


@pytest.fixture
def make_world(database: Database, tmp_path: Path) -> Callable[[Budget], LedgerWorld]:
    """A world whose API key has this budget a day."""
    return lambda budget: LedgerWorld(database, tmp_path, budget)
