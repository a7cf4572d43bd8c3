"""Every change of an image job and of its pictures, with all that has to change with it.

The job's row is locked first, so that two workers, or a worker and a cancellation, come one after the other. What a
picture costs, the request log, the answer that an idempotency key leads to and the state of the job change in the same
transaction. Each change may be repeated. Nothing here commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.errors import Flow2APIError
from flow2api_generation_service.image_jobs.errors import kept_error, restored_error
from flow2api_generation_service.image_jobs.models import ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.image_jobs.states import (
    FINAL_STATES,
    LIVE_STATES,
    OPEN_PICTURES,
    ImageJobState,
    PictureState,
)
from flow2api_generation_service.images.charges import IMAGE, ImageCharges, PictureCharge
from flow2api_generation_service.images.idempotency import IdempotencyRepository, RequestKey, events_of, result_of
from flow2api_generation_service.images.lines import line_of
from flow2api_generation_service.ledger.amounts import Cost
from flow2api_generation_service.ledger.book import LedgerBook, NewEntry, Placement, Record
from flow2api_generation_service.ledger.states import EntryState, Fate
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_generation_service.webhooks.events import enqueue_image_job_ending
from flow2api_proto.generation.v1 import image_pb2

_SHORT_ID: Final = 12


@dataclass(frozen=True, slots=True)
class PictureKey:
    """One picture of a job, in the hands of one worker."""

    generation_id: str
    image_index: int
    attempt_id: str


@dataclass(frozen=True, slots=True)
class AskedOf:
    """Where a picture is about to be asked for, and what that costs."""

    token_id: int
    provider: str
    upstream_model: str
    cost: Cost


class ImageJobTransitions:
    """The changes of jobs, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._jobs = ImageJobRepository(session)
        self._charges = ImageCharges(session, clock=clock)

    async def begin_asking(self, key: PictureKey, where: AskedOf) -> bool:
        """waiting → asked, right before the call that costs something. False: it is not this worker's to ask for."""
        job = await self._jobs.locked(key.generation_id)
        if job is None or job.state in FINAL_STATES or job.attempt_id != key.attempt_id:
            return False
        picture = await self._picture(key)
        if picture.state != PictureState.WAITING:
            return False
        picture.state, picture.attempt_id, picture.asked_time = PictureState.ASKED, key.attempt_id, self._clock()
        picture.token_id, picture.provider = where.token_id, where.provider
        picture.upstream_model = where.upstream_model
        picture.credits, picture.micros = where.cost.credits, where.cost.micros
        job.state = ImageJobState.IN_PROGRESS
        job.no_account_since = None
        job.version += 1
        return True

    async def take_back(self, key: PictureKey) -> None:
        """asked → waiting, because the upstream was not asked or has refused; → cancelled when its job is."""
        job = await self._jobs.locked(key.generation_id)
        if job is None:
            return
        picture = await self._picture(key)
        if picture.state != PictureState.ASKED or picture.attempt_id != key.attempt_id:
            return
        if job.state in LIVE_STATES:
            picture.state, picture.asked_time, picture.attempt_id = PictureState.WAITING, None, None
            job.version += 1
        else:
            await self._drop(job, picture)

    async def made(
        self, key: PictureKey, result: image_pb2.GenerateImageResponse, media: MediaRow, charge: PictureCharge
    ) -> bool:
        """asked → made. False: the job is gone, and the file with it; what it has cost is written down all the same."""
        job = await self._jobs.locked(key.generation_id)
        if job is None:
            await self._charge_of_deleted(key, charge)
            return False
        picture = await self._picture(key)
        if picture.state == PictureState.FAILED and picture.attempt_id == key.attempt_id and job.is_reserved:
            # It was thought to be lost; at least what it has cost is certain now.
            await self._charges.close(key.generation_id, [charge], is_reserved=True)
        if picture.state != PictureState.ASKED or picture.attempt_id != key.attempt_id:
            return picture.state == PictureState.MADE and picture.media_id == media.media_id
        await MediaRepository(self._session).add(media)
        picture.state, picture.media_id = PictureState.MADE, media.media_id
        (picture.result,) = result_of([result])
        await self._ended(job, charge)
        return True

    async def failed(self, key: PictureKey, error: Flow2APIError, charge: PictureCharge) -> None:
        """waiting, or asked by this worker → failed."""
        job = await self._jobs.locked(key.generation_id)
        if job is None:
            if charge.fate is not Fate.GIVEN_BACK:
                await self._charge_of_deleted(key, charge)
            return
        picture = await self._picture(key)
        if picture.state not in OPEN_PICTURES:
            return
        if picture.state == PictureState.ASKED and picture.attempt_id != key.attempt_id:
            return
        await self._fail(job, picture, error, charge)

    async def lost(self, job_id: str, error: Flow2APIError, *, asked_by_others_than: str) -> int:
        """asked → failed, for what a worker has asked for that is not there any more; answers how many."""
        job = await self._jobs.locked(job_id)
        if job is None:
            return 0
        lost = [
            each
            for each in await self._pictures(job_id)
            if each.state == PictureState.ASKED and each.attempt_id != asked_by_others_than
        ]
        for picture in lost:
            fate = Fate.GIVEN_BACK if _cost_of(picture).is_free else Fate.UNKNOWN
            await self._fail(job, picture, error, _charge_of(job, picture, fate, error.reason.lower()))
        return len(lost)

    async def ask_again(self, job_id: str, *, asked_by_others_than: str) -> None:
        """asked → waiting, for the same pictures, although they may have been made and charged."""
        job = await self._jobs.locked(job_id)
        if job is None or job.state not in LIVE_STATES:
            return
        for picture in await self._pictures(job_id):
            if picture.state != PictureState.ASKED or picture.attempt_id == asked_by_others_than:
                continue
            if not _cost_of(picture).is_free:
                await self._dispute_lost_try(job, picture)
            picture.state, picture.asked_time, picture.attempt_id = PictureState.WAITING, None, None
        job.version += 1

    async def fail_waiting(self, job_id: str, error: Flow2APIError) -> int:
        """waiting → failed, all of them; answers how many."""
        job = await self._jobs.locked(job_id)
        if job is None:
            return 0
        waiting = [each for each in await self._pictures(job_id) if each.state == PictureState.WAITING]
        for picture in waiting:
            charge = _charge_of(job, picture, Fate.GIVEN_BACK, error.reason.lower())
            await self._fail(job, picture, error, charge)
        return len(waiting)

    async def cancel(self, job_id: str) -> ImageJobRow | None:
        """→ cancelled, with all pictures that wait; nothing when the job is final."""
        job = await self._jobs.locked(job_id)
        if job is None or job.state in FINAL_STATES:
            return None
        for picture in await self._pictures(job_id):
            if picture.state == PictureState.WAITING:
                await self._drop(job, picture)
        await self._finish(job, ImageJobState.CANCELLED, outcome="CANCELLED")
        return job

    async def _fail(
        self, job: ImageJobRow, picture: ImageJobPictureRow, error: Flow2APIError, charge: PictureCharge
    ) -> None:
        picture.state, picture.error = PictureState.FAILED, kept_error(error)
        event = image_pb2.GenerateImageResponse(generation_id=job.generation_id, image_index=picture.image_index)
        event.failure.reason, event.failure.message = error.reason, picture.error["message"]
        (picture.result,) = result_of([event])
        await self._ended(job, charge)

    async def _drop(self, job: ImageJobRow, picture: ImageJobPictureRow) -> None:
        picture.state = PictureState.CANCELLED
        charge = _charge_of(job, picture, Fate.GIVEN_BACK, "cancelled")
        await self._charges.close(job.generation_id, [charge], is_reserved=job.is_reserved)
        job.version += 1

    async def _ended(self, job: ImageJobRow, charge: PictureCharge) -> None:
        """One picture has ended, and with the last one its job."""
        await self._session.flush()
        await self._charges.close(job.generation_id, [charge], is_reserved=job.is_reserved)
        log = RequestLogRepository(self._session)
        await log.count_images(self._clock().date(), made=charge.output_count, failed=1 - charge.output_count)
        job.version += 1
        pictures = await self._pictures(job.generation_id)
        if job.state in FINAL_STATES or any(each.state in OPEN_PICTURES for each in pictures):
            return
        if any(each.state == PictureState.MADE for each in pictures):
            await self._finish(job, ImageJobState.COMPLETED, outcome="ok")
            return
        job.error = next((each.error for each in pictures if each.error is not None), None)
        await self._finish(
            job, ImageJobState.FAILED, outcome=restored_error(job.error).reason if job.error else "FAILED"
        )

    async def _finish(self, job: ImageJobRow, state: ImageJobState, *, outcome: str) -> None:
        now = self._clock()
        job.state, job.complete_time = state, now
        job.version += 1
        await self._session.flush()
        pictures = await self._pictures(job.generation_id)
        await RequestLogRepository(self._session).add(
            RequestLogRow(
                generation_id=job.generation_id,
                operation=IMAGE,
                model_id=job.served_model_id,
                api_key_id=job.api_key_id,
                token_id=next((each.token_id for each in reversed(pictures) if each.token_id is not None), None),
                outcome=outcome,
                duration_ms=(now - job.create_time) // timedelta(milliseconds=1),
                output_count=sum(each.state == PictureState.MADE for each in pictures),
                create_time=job.create_time,
            )
        )
        await self._tell_idempotency_key(job, pictures, state)
        await enqueue_image_job_ending(self._session, job, now=now)

    async def _tell_idempotency_key(
        self, job: ImageJobRow, pictures: Sequence[ImageJobPictureRow], state: ImageJobState
    ) -> None:
        """A client that waits for the same request gets the pictures; without any it begins anew."""
        if job.request_id is None:
            return
        key = RequestKey(job.api_key_id, job.request_id)
        values: dict[str, Any] = {"claimed_until": self._clock()}
        if state is ImageJobState.COMPLETED:
            values = {"result": [each.result for each in pictures if each.result is not None]}
        await IdempotencyRepository(self._session).change(key, job.generation_id, **values)

    async def _charge_of_deleted(self, key: PictureKey, charge: PictureCharge) -> None:
        entries = await LedgerBook(self._session, clock=self._clock).entries(key.generation_id)
        is_known = any(entry.line == line_of(key.image_index) for entry in entries)
        await self._charges.close(key.generation_id, [charge], is_reserved=is_known)

    async def _dispute_lost_try(self, job: ImageJobRow, picture: ImageJobPictureRow) -> None:
        line = f"{line_of(picture.image_index)}:{(picture.attempt_id or '')[-_SHORT_ID:]}"
        cost = _cost_of(picture)
        entry = NewEntry(job.generation_id, line, IMAGE, job.api_key_id, job.served_model_id, cost)
        record = Record(entry, EntryState.DISPUTED, "submission_unknown", _placement_of(picture))
        await LedgerBook(self._session, clock=self._clock).add([record])

    async def _picture(self, key: PictureKey) -> ImageJobPictureRow:
        return await self._session.get_one(
            ImageJobPictureRow, (key.generation_id, key.image_index), populate_existing=True
        )

    async def _pictures(self, job_id: str) -> list[ImageJobPictureRow]:
        return (await self._jobs.pictures([job_id]))[job_id]


def results_of(pictures: Sequence[ImageJobPictureRow]) -> tuple[image_pb2.GenerateImageResponse, ...]:
    """What the pictures of a job have come to, as events."""
    return events_of([each.result for each in pictures if each.result is not None])


def _charge_of(job: ImageJobRow, picture: ImageJobPictureRow, fate: Fate, reason: str) -> PictureCharge:
    return PictureCharge(
        index=picture.image_index,
        api_key_id=job.api_key_id,
        model_id=job.served_model_id,
        cost=_cost_of(picture),
        fate=fate,
        reason=reason,
        placement=_placement_of(picture),
        output_count=0,
    )


def _cost_of(picture: ImageJobPictureRow) -> Cost:
    return Cost(picture.credits, picture.micros)


def _placement_of(picture: ImageJobPictureRow) -> Placement:
    return Placement(token_id=picture.token_id, provider=picture.provider, upstream_model=picture.upstream_model)
