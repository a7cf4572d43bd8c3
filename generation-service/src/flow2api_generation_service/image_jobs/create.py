"""Accepting an image job: when this answers, the job is durable.

Its idempotency key is kept where those of pictures that a client waits for are kept, so that the two ways of asking
for the same pictures meet: a job that is repeated by a waiting client is joined by it, and pictures that were made for
a waiting client are found by a repeat that does not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Conflict, FieldViolation, InvalidArgument
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_generation_service.access import AccessClient, daily_budget
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.idempotency_keys import kept_key
from flow2api_generation_service.image_jobs.models import ImageJobInputRow, ImageJobPictureRow, ImageJobRow
from flow2api_generation_service.image_jobs.repository import ImageJobRepository
from flow2api_generation_service.image_jobs.states import ImageJobState, PictureState
from flow2api_generation_service.images.charges import ImageCharges, most_for
from flow2api_generation_service.images.idempotency import IdempotencyRepository, RequestKey, conflict, events_of
from flow2api_generation_service.images.models import IdempotencyKeyRow
from flow2api_generation_service.images.request import ImageRequest, read_request, request_hash
from flow2api_generation_service.ledger.amounts import Budget
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.videos.outbox import OutboxRelay, OutboxRepository
from flow2api_proto.access.v1.request_quota_pb2 import RequestQuota
from flow2api_proto.events.v1 import image_events_pb2
from flow2api_proto.generation.v1 import image_job_pb2, image_pb2, media_pb2

log = get_logger(__name__)

GENERATE_SUBJECT: Final = "image.generate"
MAX_OPTIONS: Final = 16
MAX_OPTION_NAME: Final = 64
MAX_OPTION_VALUE: Final = 512
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class AcceptedImageJob:
    """A job, and what its API key has left of its minute: nothing without a limit, and for a repeat."""

    generation_id: str
    request_quota: RequestQuota | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _NewJob:
    row: ImageJobRow
    pictures: Sequence[ImageJobPictureRow]
    inputs: Sequence[ImageJobInputRow]
    key: RequestKey | None
    digest: str


class _Outrun(Exception):
    """Somebody else has just taken the idempotency key."""


class ImageJobCreation:
    """Accepts jobs."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        access: AccessClient,
        media: MediaService,
        outbox: OutboxRelay,
        clock: Clock,
        settings: GenerationServiceSettings,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._access = access
        self._media = media
        self._outbox = outbox
        self._clock = clock
        self._settings = settings

    async def create(self, request: image_job_pb2.CreateImageJobRequest) -> AcceptedImageJob:
        """Accept a job, or find the one that the same request made before.

        Raises what `read_request` and `AccessClient.authorize` do, InvalidArgument on ``answer_options``, Conflict
        (IDEMPOTENCY_CONFLICT, IDEMPOTENCY_IN_PROGRESS), CapacityError (DAILY_BUDGET_EXHAUSTED).
        """
        _check_options(request)
        wanted = request.request
        checked = await read_request(wanted, self._catalog, self._media)
        key = None
        if wanted.request_id:
            key = RequestKey(wanted.api_key_id, kept_key(wanted.request_id, wanted.request_scope))
        digest = await request_hash(wanted, checked.pictures) if key is not None else ""
        generation_id = new_id("image")
        files: Sequence[MediaRow] | None = None
        quota: RequestQuota | None = None
        budget = Budget()
        for _ in range(_TRIES):
            existing = await self._existing(key, digest, request, checked)
            if existing is not None:
                return AcceptedImageJob(existing, replayed=True)
            if files is None:
                authorized = await self._access.authorize(
                    api_key_id=wanted.api_key_id, model=checked.plan.model, generation_id=generation_id
                )
                quota = authorized.request_quota if authorized.HasField("request_quota") else None
                budget = daily_budget(authorized.api_key)
                files = [
                    await self._media.store_input(each, api_key_id=wanted.api_key_id, generation_id=generation_id)
                    for each in wanted.input_images
                ]
            job = self._new_job(generation_id, request, checked, files, key, digest)
            try:
                await self._store(job, checked, budget)
            except (IntegrityError, _Outrun):
                continue
            self._outbox.wake()
            log.info("image_job_accepted", generation_id=generation_id, model_id=wanted.model_id)
            return AcceptedImageJob(generation_id, quota)
        raise _in_progress()

    async def _existing(
        self,
        key: RequestKey | None,
        digest: str,
        request: image_job_pb2.CreateImageJobRequest,
        checked: ImageRequest,
    ) -> str | None:
        """The job that this key leads to, made of the kept pictures where there is none yet."""
        if key is None:
            return None
        async with self._database.transaction() as session:
            now = self._clock()
            row = await IdempotencyRepository(session).get(key)
            if row is None or row.expire_time <= now:
                return None
            if row.request_hash != digest:
                raise conflict()
            if await ImageJobRepository(session).get(row.generation_id) is not None:
                return row.generation_id
            if row.result is not None:
                await self._adopt(session, row, request, checked)
                return row.generation_id
            if row.claimed_until > now:
                raise _in_progress()
        return None

    async def _adopt(
        self,
        session: AsyncSession,
        kept: IdempotencyKeyRow,
        request: image_job_pb2.CreateImageJobRequest,
        checked: ImageRequest,
    ) -> None:
        """Pictures that were made for a client that waited become a job that is completed."""
        job = self._new_job(kept.generation_id, request, checked, (), None, "")
        job.row.state, job.row.complete_time = ImageJobState.COMPLETED, self._clock()
        job.row.create_time = kept.create_time
        results = kept.result or []
        for event, result in zip(events_of(results), results, strict=True):
            picture = job.pictures[event.image_index]
            picture.result = result
            picture.state = PictureState.MADE if event.HasField("image") else PictureState.FAILED
            picture.media_id = event.image.media.media_id or None
        await ImageJobRepository(session).add(job.row, job.pictures)

    async def _store(self, job: _NewJob, checked: ImageRequest, budget: Budget) -> None:
        async with self._database.transaction() as session:
            if job.key is not None:
                await self._take_key(session, job.key, job.digest, job.row)
            await ImageJobRepository(session).add(job.row, job.pictures, job.inputs)
            if job.row.is_reserved:
                await ImageCharges(session, clock=self._clock).reserve(job.row.generation_id, checked, budget)
            message = image_events_pb2.GenerateImages(generation_id=job.row.generation_id)
            outbox = OutboxRepository(session, clock=self._clock)
            await outbox.add(GENERATE_SUBJECT, message, message_id=job.row.generation_id)

    async def _take_key(self, session: AsyncSession, key: RequestKey, digest: str, job: ImageJobRow) -> None:
        now = self._clock()
        expire_time = now + self._settings.idempotency_retention
        fresh = {
            "request_hash": digest,
            "generation_id": job.generation_id,
            "result": None,
            # Nobody takes it over: the job ends by itself, and says so here.
            "claimed_until": max(expire_time, job.deadline_time + timedelta(hours=1)),
            "create_time": now,
            "expire_time": expire_time,
        }
        keys = IdempotencyRepository(session)
        row = await keys.get(key)
        if row is None:
            session.add(IdempotencyKeyRow(api_key_id=key.api_key_id, request_id=key.request_id, **fresh))
            await session.flush()
            return
        is_free = row.expire_time <= now or (row.result is None and row.claimed_until <= now)
        if not is_free or not await keys.take_over(row, **fresh):
            raise _Outrun

    def _new_job(
        self,
        generation_id: str,
        request: image_job_pb2.CreateImageJobRequest,
        checked: ImageRequest,
        files: Sequence[MediaRow],
        key: RequestKey | None,
        digest: str,
    ) -> _NewJob:
        now = self._clock()
        row = ImageJobRow(
            generation_id=generation_id,
            api_key_id=checked.api_key_id,
            request_id=key.request_id if key is not None else None,
            model_id=request.request.model_id,
            served_model_id=checked.model_id,
            request=_kept_request(request.request, checked, files).SerializeToString(),
            image_count=checked.image_count,
            answer_options=dict(request.answer_options),
            is_reserved=not most_for(checked).is_free,
            typical_duration_seconds=checked.plan.model.typical_duration_seconds,
            state=ImageJobState.QUEUED,
            version=1,
            create_time=now,
            deadline_time=now + self._settings.image_job_queue_timeout,
        )
        pictures = [
            ImageJobPictureRow(generation_id=generation_id, image_index=index, state=PictureState.WAITING, credits=0)
            for index in range(checked.image_count)
        ]
        inputs = [
            ImageJobInputRow(generation_id=generation_id, position=position, media_id=file.media_id)
            for position, file in enumerate(files)
        ]
        return _NewJob(row, pictures, inputs, key, digest)


def _kept_request(
    request: image_pb2.GenerateImageRequest, checked: ImageRequest, files: Sequence[MediaRow]
) -> image_pb2.GenerateImageRequest:
    """The request without the bytes of its pictures, and with the seed that every try is to have."""
    kept = image_pb2.GenerateImageRequest()
    kept.CopyFrom(request)
    kept.seed = checked.first_seed
    kept.request_id = kept.request_scope = ""
    del kept.input_images[:]
    kept.input_images.extend(media_pb2.InputImage(media_id=file.media_id) for file in files)
    return kept


def _check_options(request: image_job_pb2.CreateImageJobRequest) -> None:
    options = request.answer_options
    if len(options) > MAX_OPTIONS or any(
        len(name) > MAX_OPTION_NAME or len(value) > MAX_OPTION_VALUE for name, value in options.items()
    ):
        limits = f"At most {MAX_OPTIONS} options of {MAX_OPTION_NAME} and {MAX_OPTION_VALUE} characters."
        raise InvalidArgument(limits, violations=[FieldViolation("answer_options", limits)])


def _in_progress() -> Conflict:
    return Conflict(
        "A request with the same idempotency key is still running.",
        reason="IDEMPOTENCY_IN_PROGRESS",
        retry_after=timedelta(seconds=5),
    )
