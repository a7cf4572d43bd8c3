"""Making the pictures of a job: one worker at a time, each picture asked for at most once.

A worker claims the job for some seconds and renews that while it lives. Right before the call that costs something the
picture is marked in its row; the mark is refused when the job is cancelled or somebody else has it, and taken back when
the upstream has refused. Whoever takes a job over from a dead worker makes what was not asked for, and ends what was as
``SUBMISSION_UNKNOWN``: its answer died with the worker.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from google.protobuf.message import DecodeError
from structlog.contextvars import bound_contextvars

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Flow2APIError, RequestError
from flow2api_common.ids import new_id
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_common.nats_client import Delivery
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.image_jobs.errors import expired, submission_unknown
from flow2api_generation_service.image_jobs.models import ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.pictures_at_work import PicturesAtWork
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.image_jobs.states import FINAL_STATES, OPEN_PICTURES, PictureState
from flow2api_generation_service.image_jobs.transitions import ImageJobTransitions
from flow2api_generation_service.images.picture import PictureMaker
from flow2api_generation_service.images.request import ImageRequest, check_request, planned_request
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.next_step import Later, NextStep, Step
from flow2api_proto.events.v1 import image_events_pb2
from flow2api_proto.generation.v1 import image_pb2

log = get_logger(__name__)

_RENEWALS_PER_CLAIM: Final = 3
_SHORT: Final = timedelta(milliseconds=100)


class ImageJobRuns:
    """Makes jobs; any number of replicas share the work."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        media: MediaService,
        maker: PictureMaker,
        background: DrainingTasks,
        changes: VideoChanges,
        clock: Clock,
        settings: GenerationServiceSettings,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._media = media
        self._maker = maker
        self._background = background
        self._changes = changes
        self._clock = clock
        self._settings = settings
        self._running: dict[str, PicturesAtWork] = {}
        self._is_stopping = False
        changes.listen(self._on_change)

    async def handle(self, delivery: Delivery) -> None:
        """Move the job of one message on. An exception gives the message back to JetStream."""
        try:
            message = image_events_pb2.GenerateImages.FromString(delivery.data)
        except DecodeError:
            await delivery.term("not a GenerateImages message")
            return
        with bound_contextvars(generation_id=message.generation_id):
            step = await self.step(message.generation_id)
        if isinstance(step, Later):
            await delivery.nak(step.delay)
        else:
            await delivery.ack()

    def stop(self) -> None:
        """Ask the upstream for nothing more; what it was asked for goes on, owned by the background tasks."""
        self._is_stopping = True
        for work in self._running.values():
            work.give_up()

    async def step(self, generation_id: str) -> NextStep:
        """Make of a job what can be made now. Safe to repeat, and to call anywhere at the same time."""
        if self._is_stopping:
            return Later(timedelta(0))
        attempt_id, now = new_id(), self._clock()
        async with self._database.transaction() as session:
            jobs = ImageJobRepository(session)
            job = await jobs.get(generation_id)
            if job is None:
                return Step.DONE
            pictures = (await jobs.pictures([generation_id]))[generation_id]
            if not any(each.state in OPEN_PICTURES for each in pictures):
                return Step.DONE
            until = now + self._settings.image_job_claim
            if not await jobs.claim(generation_id, attempt_id, now=now, until=until):
                return Later(max((job.claimed_until or now) - now, _SHORT))
        try:
            step = await self._work(generation_id, attempt_id)
        except asyncio.CancelledError:
            # What the upstream was asked for may go on, so that the claim is left to run out.
            raise
        except Exception:
            await self._give_claim_back(generation_id, attempt_id)
            raise
        await self._give_claim_back(generation_id, attempt_id)
        return step

    async def _give_claim_back(self, generation_id: str, attempt_id: str) -> None:
        # Without it the claim runs out by itself.
        with suppress(Flow2APIError):
            await self._keep_claim(generation_id, attempt_id, until=None)

    async def _work(self, generation_id: str, attempt_id: str) -> NextStep:
        await self._end_lost_pictures(generation_id, attempt_id)
        job, waiting = await self._waiting(generation_id)
        if job is None or not waiting or job.state in FINAL_STATES:
            return Step.DONE
        if job.deadline_time <= self._clock():
            return await self._fail_waiting(generation_id, expired())
        try:
            request = await self._request_of(job)
        except RequestError as error:
            return await self._fail_waiting(generation_id, error)
        work = PicturesAtWork(
            job,
            attempt_id,
            request,
            database=self._database,
            media=self._media,
            maker=self._maker,
            changes=self._changes,
            clock=self._clock,
            settings=self._settings,
        )
        self._running[generation_id] = work
        keeper = asyncio.create_task(self._keep_claimed(work, generation_id, attempt_id), name="keep-image-job")
        tasks = [
            self._background.start(f"picture-{generation_id}-{picture.image_index}", work.make(picture.image_index))
            for picture in waiting
        ]
        try:
            await asyncio.wait(tasks)
        finally:
            if self._running.get(generation_id) is work:
                del self._running[generation_id]
            await end_tasks([keeper])
        return await self._after(job, work)

    async def _after(self, job: ImageJobRow, work: PicturesAtWork) -> NextStep:
        now = self._clock()
        since = (job.no_account_since or now) if work.is_hopeless else None
        if since != job.no_account_since:
            async with self._database.transaction() as session:
                await ImageJobRepository(session).note_no_account(job.generation_id, since)
        async with self._database.transaction(read_only=True) as session:
            jobs = ImageJobRepository(session)
            current = await jobs.get(job.generation_id)
            pictures = (await jobs.pictures([job.generation_id]))[job.generation_id]
        if current is None or not any(each.state in OPEN_PICTURES for each in pictures):
            return Step.DONE
        if self._is_stopping or not any(each.state == PictureState.WAITING for each in pictures):
            # Also when a picture was broken off while the upstream worked on it: whoever comes next says so.
            return Later(timedelta(0))
        pause = work.pause or self._settings.video_capacity_retry
        return Later(min(pause, max(current.deadline_time - now, _SHORT)))

    async def _end_lost_pictures(self, generation_id: str, attempt_id: str) -> None:
        async with self._database.transaction() as session:
            transitions = ImageJobTransitions(session, clock=self._clock)
            if self._settings.video_resubmit_unknown:
                await transitions.ask_again(generation_id, asked_by_others_than=attempt_id)
            lost = await transitions.lost(generation_id, submission_unknown(), asked_by_others_than=attempt_id)
        if lost:
            log.warning("image_job_pictures_lost", generation_id=generation_id, picture_count=lost)
            await self._changes.announce(generation_id)

    async def _fail_waiting(self, generation_id: str, error: Flow2APIError) -> NextStep:
        async with self._database.transaction() as session:
            await ImageJobTransitions(session, clock=self._clock).fail_waiting(generation_id, error)
        log.info("image_job_ended", generation_id=generation_id, reason=error.reason)
        await self._changes.announce(generation_id)
        return Step.DONE

    async def _waiting(self, generation_id: str) -> tuple[ImageJobRow | None, list[ImageJobPictureRow]]:
        async with self._database.transaction(read_only=True) as session:
            jobs = ImageJobRepository(session)
            job = await jobs.get(generation_id)
            pictures = (await jobs.pictures([generation_id]))[generation_id]
        return job, [each for each in pictures if each.state == PictureState.WAITING]

    async def _request_of(self, job: ImageJobRow) -> ImageRequest:
        """Raises RequestError when it cannot be made any more: its model or one of its pictures has gone."""
        kept = image_pb2.GenerateImageRequest.FromString(job.request)
        check_request(kept, self._catalog)
        pictures = [await self._media.load_input_picture(image.media_id) for image in kept.input_images]
        return planned_request(kept, pictures, self._catalog)

    async def _keep_claimed(self, work: PicturesAtWork, generation_id: str, attempt_id: str) -> None:
        """Renew the claim while pictures are made, and give up what is not asked for when it is not to be made."""
        pause = self._settings.image_job_claim / _RENEWALS_PER_CLAIM
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await work.changed.wait()
            work.changed.clear()
            try:
                until = self._clock() + self._settings.image_job_claim
                is_ours = await self._keep_claim(generation_id, attempt_id, until=until)
                job, _ = await self._waiting(generation_id)
            except Flow2APIError as error:
                log.warning("image_job_claim_not_renewed", generation_id=generation_id, reason=error.reason)
                continue
            if not is_ours or job is None or job.state in FINAL_STATES:
                work.give_up()

    async def _keep_claim(self, generation_id: str, attempt_id: str, *, until: datetime | None) -> bool:
        async with self._database.transaction() as session:
            return await ImageJobRepository(session).keep_claim(generation_id, attempt_id, until=until)

    def _on_change(self, generation_id: str) -> None:
        work = self._running.get(generation_id)
        if work is not None:
            work.changed.set()
