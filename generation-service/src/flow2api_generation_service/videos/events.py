"""Takes ``video.events.>`` messages from JetStream and moves the jobs on accordingly.

Events may come twice, late or in another order than they were sent: each is applied by compare-and-set, and one that
does not fit the job any more is dropped. What the poller still does for a job that is final (cancelled, expired by the
sweeper) or deleted is undone here: its file is removed, its lease is given back.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.contextvars import bound_contextvars

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery
from flow2api_generation_service.catalog.prices import PriceBook
from flow2api_generation_service.durations.learning import Durations, Observation
from flow2api_generation_service.leasing import LeaseClient
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.videos.base_clip import fall_back_to_base_clip
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.charges import VideoCharges, fate_of
from flow2api_generation_service.videos.counted_tokens import counted_by
from flow2api_generation_service.videos.deadlines import stage_deadline
from flow2api_generation_service.videos.endings import Ending
from flow2api_generation_service.videos.job_series import series_of
from flow2api_generation_service.videos.messages import enqueue_submission
from flow2api_generation_service.videos.models import JobRow
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.states import FINAL_STATES, FOLLOWED_STATES, JobState, Stage
from flow2api_generation_service.videos.stored_clip import keys_of, rows_of
from flow2api_generation_service.videos.transitions import JobTransitions
from flow2api_proto.events.v1 import video_events_pb2
from flow2api_proto.tokens.v1 import token_pb2
from flow2api_upstream.port_to_tokens import success

log = get_logger(__name__)

EVENT_SUBJECTS: Final = "video.events.>"
EVENT_DURABLE: Final = "video-events"

_ENDS: Final = {
    video_events_pb2.VIDEO_FAILURE_KIND_FAILED: JobState.FAILED,
    video_events_pb2.VIDEO_FAILURE_KIND_FILTERED: JobState.FILTERED,
    video_events_pb2.VIDEO_FAILURE_KIND_EXPIRED: JobState.EXPIRED,
}


class EventConsumer:
    """Applies events; any number of replicas share them."""

    def __init__(
        self,
        *,
        database: Database,
        outbox: OutboxRelay,
        changes: VideoChanges,
        media: MediaService,
        leases: LeaseClient,
        durations: Durations,
        prices: PriceBook,
        clock: Clock,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._changes = changes
        self._media = media
        self._leases = leases
        self._durations = durations
        self._prices = prices
        self._clock = clock

    async def handle(self, delivery: Delivery) -> None:
        """Apply one event. An exception gives the message back to JetStream."""
        try:
            event = video_events_pb2.VideoEvent.FromString(delivery.data)
        except DecodeError:
            await delivery.term("not a VideoEvent message")
            return
        with bound_contextvars(video_id=event.video_id):
            await self.apply(event)
        await delivery.ack()

    async def apply(self, event: video_events_pb2.VideoEvent) -> None:
        """Move the job on; nothing happens when the event does not fit it any more."""
        kind = event.WhichOneof("event")
        async with self._database.transaction() as session:
            repository = JobRepository(session)
            job = await repository.get(event.video_id)
            charges = VideoCharges(session, clock=self._clock)
            # Before anything ends, so that it ends with what was really taken.
            await charges.counted(event, self._prices)
            is_ready_news = job is not None and await self._take_ready_news(session, job, event, kind)
            changed = (job is not None and await self._change(session, job, event, kind)) or is_ready_news
            await charges.reported(event)
            if not changed:
                # Somebody may have been faster, e.g. a cancellation.
                job = await repository.get(event.video_id)
        if is_ready_news and job is not None:
            # After the commit: a repeat of this event is no news any more.
            self._learn(job, event)
        if changed:
            log.info("video_event_applied", kind=kind, stage=event.stage)
            self._outbox.wake()
            await self._changes.announce(event.video_id)
        elif job is None or job.state in FINAL_STATES or job.stage != event.stage:
            await self._undo(job, event, kind)

    async def _change(
        self, session: AsyncSession, job: JobRow, event: video_events_pb2.VideoEvent, kind: str | None
    ) -> bool:
        transitions = JobTransitions(session, clock=self._clock)
        stage = Stage(event.stage)
        match kind:
            case "progressed":
                return await transitions.raise_progress(job.video_id, stage, event.progressed.progress_percent)
            case "stage_done" | "storing":
                return False
            case "stored":
                return await self._complete(session, transitions, job, stage, event.stored)
            case "failed":
                return await self._fail(session, transitions, job, stage, event.failed)
            case _:
                log.error("video_event_unknown", kind=kind)
                return False

    async def _take_ready_news(
        self, session: AsyncSession, job: JobRow, event: video_events_pb2.VideoEvent, kind: str | None
    ) -> bool:
        """Whether this is the first to say that the stage is ready upstream; its job is moved on then."""
        transitions = JobTransitions(session, clock=self._clock)
        match kind:
            case "stage_done":
                return await self._begin_upscaling(session, transitions, job, event)
            case "storing" | "stored":
                # What was counted is kept by the same change: an event that comes again does not count it twice.
                return await transitions.begin_storing(job.video_id, Stage(event.stage), counted=counted_by(event))
            case _:
                return False

    def _learn(self, job: JobRow, event: video_events_pb2.VideoEvent) -> None:
        if not event.HasField("observed_duration"):
            return
        series, usual_seconds = series_of(job, Stage(event.stage))
        observed = event.observed_duration
        self._durations.observe(
            series, Observation(observed.not_ready_ms / 1000, observed.ready_ms / 1000, usual_seconds)
        )

    async def _begin_upscaling(
        self, session: AsyncSession, transitions: JobTransitions, job: JobRow, event: video_events_pb2.VideoEvent
    ) -> bool:
        if not await transitions.begin_upscaling(
            job.video_id,
            event.stage_done.result_handle,
            stage_deadline(job, self._clock()),
            counted=counted_by(event),
        ):
            return False
        await enqueue_submission(
            session, clock=self._clock, video_id=job.video_id, stage=Stage.UPSCALE, provider=job.provider or ""
        )
        return True

    async def _complete(
        self,
        session: AsyncSession,
        transitions: JobTransitions,
        job: JobRow,
        stage: Stage,
        stored: video_events_pb2.VideoStored,
    ) -> bool:
        if not await transitions.complete(
            job.video_id,
            stage,
            media_id=stored.media_id,
            result_handle=stored.result_handle,
            clip_sha256=stored.sha256,
        ):
            return False
        media = MediaRepository(session)
        for row in rows_of(stored, job, self._media):
            await media.add(row)
        return True

    async def _fail(
        self,
        session: AsyncSession,
        transitions: JobTransitions,
        job: JobRow,
        stage: Stage,
        failed: video_events_pb2.VideoFailed,
    ) -> bool:
        if stage is Stage.UPSCALE:
            # The clip that was to be enlarged is good, whatever became of the enlargement.
            return await fall_back_to_base_clip(session, clock=self._clock, job=job, reason=failed.message)
        state = _ENDS.get(failed.kind, JobState.FAILED)
        return await transitions.end(
            job.video_id,
            Ending(state, failed.code, failed.message, fate_of(failed)),
            expected=FOLLOWED_STATES,
            stage=stage,
        )

    async def _undo(self, job: JobRow | None, event: video_events_pb2.VideoEvent, kind: str | None) -> None:
        if kind == "stored" and (job is None or job.media_id != event.stored.media_id):
            log.info("late_clip_removed", media_id=event.stored.media_id)
            await self._media.remove_objects(keys_of(event.stored))
        if kind == "stage_done" and job is not None and job.lease is not None and job.stage == Stage.GENERATE:
            await self._leases.release(token_pb2.Lease.FromString(job.lease), success())
