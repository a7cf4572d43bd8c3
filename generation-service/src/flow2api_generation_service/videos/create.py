"""Accepting a video job: when this answers, the job is durable."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.exc import IntegrityError

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import FieldViolation, InvalidArgument
from flow2api_common.ids import new_id
from flow2api_common.logs import get_logger
from flow2api_generation_service.access import AccessClient, daily_budget
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.catalog.video_plan import VideoFacts, VideoPlan
from flow2api_generation_service.idempotency_keys import check_key, kept_key
from flow2api_generation_service.media.input_pictures import digest_of
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.videos.charges import VideoCharges
from flow2api_generation_service.videos.inputs import source_clip
from flow2api_generation_service.videos.messages import enqueue_submission
from flow2api_generation_service.videos.models import JobInputImageRow, JobRow
from flow2api_generation_service.videos.outbox import OutboxRelay
from flow2api_generation_service.videos.planning import SourceClip, role_of
from flow2api_generation_service.videos.read import video_not_found
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_generation_service.videos.request_identity import check_same_request, request_digest
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.videos.states import JobState, Stage
from flow2api_generation_service.webhooks.job_receiver import JobReceivers
from flow2api_proto.access.v1.request_quota_pb2 import RequestQuota
from flow2api_proto.generation.v1 import video_pb2

log = get_logger(__name__)

MAX_PROMPT_CHARACTERS: Final = 32_000
MAX_METADATA_PAIRS: Final = 16
MAX_METADATA_KEY: Final = 64
MAX_METADATA_VALUE: Final = 512
# 7 days, and what the clocks of two machines may differ.
_LONGEST_DEADLINE: Final = timedelta(days=7, minutes=1)
_PERSON_GENERATIONS: Final = ("allow_all", "allow_adult", "dont_allow")
"""Source: docs/upstream/google-official.md, section 8."""

_LARGEST_SEED: Final = 99_999
"""What every upstream takes; Flow from 1. Source: docs/upstream/flow.md, section 8."""


@dataclass(frozen=True, slots=True)
class AcceptedVideo:
    """A job, and what its API key has left of its minute: nothing without a limit, and for a repeat."""

    video_id: str
    request_quota: RequestQuota | None = None
    replayed: bool = False


class VideoCreation:
    """Accepts jobs."""

    def __init__(
        self,
        *,
        database: Database,
        catalog: Catalog,
        access: AccessClient,
        media: MediaService,
        outbox: OutboxRelay,
        receivers: JobReceivers,
        clock: Clock,
        settings: VideoSettings,
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._access = access
        self._media = media
        self._outbox = outbox
        self._receivers = receivers
        self._clock = clock
        self._settings = settings

    async def create(self, request: video_pb2.CreateVideoRequest) -> AcceptedVideo:
        """Accept a job, or find the one that the same request made before.

        Raises InvalidArgument, NotFound (MODEL_NOT_FOUND, MEDIA_NOT_FOUND, VIDEO_NOT_FOUND), FailedPrecondition
        (VIDEO_NOT_READY), Conflict (IDEMPOTENCY_CONFLICT), CapacityError (DAILY_BUDGET_EXHAUSTED), and what
        `AccessClient.authorize` does.
        """
        now = self._clock()
        _check(request, now)
        check_key(request.request_id, request.request_scope)
        digest = await self._digest(request)
        existing = await self._find(request, digest)
        if existing is not None:
            return AcceptedVideo(existing, replayed=True)
        self._catalog.resolve(request.model_id)
        source_job = await self._source_job(request)
        source = source_clip(source_job) if source_job is not None else None
        plan = self._catalog.plan_video(_facts(request, source))
        await self._receivers.check(request)
        job = self._new_job(request, plan, digest, now)
        if source_job is not None:
            job.source_video_id = source_job.video_id
        authorized = await self._access.authorize(
            api_key_id=request.api_key_id, model=plan.model, generation_id=job.video_id
        )
        images = await self._store_images(request, job.video_id)
        try:
            async with self._database.transaction() as session:
                repository = JobRepository(session)
                await repository.forget_requests(job, before=now - self._settings.idempotency_retention)
                await repository.add(job, images)
                # After the job, so that a repeat is found before it is refused.
                charges = VideoCharges(session, clock=self._clock)
                await charges.reserve(job, plan, daily_budget(authorized.api_key))
                await enqueue_submission(
                    session,
                    clock=self._clock,
                    video_id=job.video_id,
                    stage=Stage.GENERATE,
                    provider=plan.options[0].provider,
                )
        except IntegrityError:
            # Another request with this key came in between.
            existing = await self._find(request, digest)
            if existing is None:
                raise
            return AcceptedVideo(existing, replayed=True)
        self._outbox.wake()
        log.info("video_accepted", video_id=job.video_id, model_id=job.model_id, kind=job.kind)
        return AcceptedVideo(job.video_id, authorized.request_quota if authorized.HasField("request_quota") else None)

    async def _digest(self, request: video_pb2.CreateVideoRequest) -> str:
        """What the request is recognised by. Its pictures count by their content, because a repeat uploads large ones
        anew, under other ids."""
        if not request.request_id:
            return request_digest(request)
        body = video_pb2.CreateVideoRequest()
        body.CopyFrom(request)
        for image in body.input_images:
            picture = await self._media.load_picture(image, api_key_id=request.api_key_id)
            image.data = await digest_of(picture)
        return request_digest(body)

    async def _find(self, request: video_pb2.CreateVideoRequest, digest: str) -> str | None:
        if not request.request_id:
            return None
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).find_by_request(request.api_key_id, _kept_key(request) or "")
        if job is None or job.create_time <= self._clock() - self._settings.idempotency_retention:
            return None
        check_same_request(job, digest)
        return job.video_id

    async def _source_job(self, request: video_pb2.CreateVideoRequest) -> JobRow | None:
        if request.source_sha256:
            return await self._job_of_clip(request)
        if not request.source_video_id:
            return None
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).get(request.source_video_id, api_key_id=request.api_key_id)
        if job is None:
            missing = video_not_found(request.source_video_id)
            missing.violations = (FieldViolation("source_video_id", missing.message),)
            raise missing
        return job

    async def _job_of_clip(self, request: video_pb2.CreateVideoRequest) -> JobRow:
        async with self._database.transaction(read_only=True) as session:
            job = await JobRepository(session).find_by_clip(request.api_key_id, request.source_sha256)
        if job is None:
            raise InvalidArgument.of(
                "source_video_id", "Only a clip that was made here for the same key can be continued; this is none."
            )
        return job

    async def _store_images(self, request: video_pb2.CreateVideoRequest, video_id: str) -> Sequence[JobInputImageRow]:
        rows = [
            await self._media.store_input(each, api_key_id=request.api_key_id, generation_id=video_id)
            for each in request.input_images
        ]
        return [
            JobInputImageRow(video_id=video_id, position=position, media_id=row.media_id, role=image.role)
            for position, (row, image) in enumerate(zip(rows, request.input_images, strict=True))
        ]

    def _new_job(self, request: video_pb2.CreateVideoRequest, plan: VideoPlan, digest: str, now: datetime) -> JobRow:
        has_deadline = request.HasField("deadline_time")
        option = plan.options[0]
        return JobRow(
            video_id=new_id("video"),
            api_key_id=request.api_key_id,
            request_id=_kept_key(request),
            request_hash=digest,
            model_id=request.model_id,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            generate_audio=request.generate_audio if request.HasField("generate_audio") else True,
            person_generation=request.person_generation,
            kind=plan.kind,
            aspect_ratio=plan.aspect_ratio,
            duration_seconds=plan.duration_seconds,
            resolution=plan.resolution,
            upscale_to=plan.upscale_to,
            seed=request.seed if request.HasField("seed") else 1 + secrets.randbelow(_LARGEST_SEED),
            client_metadata=dict(request.metadata),
            webhook_url=request.webhook_url,
            sealed_webhook_secret=self._receivers.sealed_secret(request),
            typical_duration_seconds=option.typical_duration_seconds,
            upscale_typical_seconds=option.upscale_typical_seconds,
            deadline_seconds=plan.deadline_seconds,
            state=JobState.QUEUED,
            create_time=now,
            state_time=now,
            deadline_time=_deadline_of(request) if has_deadline else now + self._settings.video_queue_timeout,
            has_client_deadline=has_deadline,
            client_deadline_time=_deadline_of(request) if has_deadline else None,
        )


def _kept_key(request: video_pb2.CreateVideoRequest) -> str | None:
    return kept_key(request.request_id, request.request_scope) if request.request_id else None


def _facts(request: video_pb2.CreateVideoRequest, source: SourceClip | None) -> VideoFacts:
    return VideoFacts(
        model_id=request.model_id,
        roles=tuple(role_of(image.role) for image in request.input_images),
        aspect_ratio=request.aspect_ratio,
        size=(request.size.width, request.size.height) if request.HasField("size") else None,
        duration_seconds=request.duration_seconds,
        resolution=request.resolution,
        has_source=source is not None,
        source_provider=source.provider if source else "",
    )


def _deadline_of(request: video_pb2.CreateVideoRequest) -> datetime:
    return request.deadline_time.ToDatetime(tzinfo=UTC)


def _check(request: video_pb2.CreateVideoRequest, now: datetime) -> None:
    wrong: list[FieldViolation] = []
    if not request.model_id:
        wrong.append(FieldViolation("model", "A model is required."))
    if not request.prompt.strip():
        wrong.append(FieldViolation("prompt", "A prompt is required."))
    if len(request.prompt) > MAX_PROMPT_CHARACTERS:
        wrong.append(FieldViolation("prompt", f"The prompt is longer than {MAX_PROMPT_CHARACTERS} characters."))
    if request.source_sha256 and request.source_video_id:
        wrong.append(
            FieldViolation("source_video_id", "A clip to continue is named, or its bytes are given; not both.")
        )
    if request.duration_seconds < 0:
        wrong.append(FieldViolation("seconds", "The length must not be negative."))
    if request.HasField("deadline_time") and not now < _deadline_of(request) <= now + _LONGEST_DEADLINE:
        wrong.append(FieldViolation("deadline_time", "The deadline is over, or more than 7 days away."))
    if request.person_generation and request.person_generation not in _PERSON_GENERATIONS:
        known = ", ".join(_PERSON_GENERATIONS)
        wrong.append(FieldViolation("person_generation", f"The people that may be shown are one of: {known}."))
    wrong.extend(_metadata_violations(request))
    if not request.api_key_id:
        wrong.append(FieldViolation("api_key_id", "It is required."))
    if wrong:
        raise InvalidArgument(wrong[0].description, violations=wrong)


def _metadata_violations(request: video_pb2.CreateVideoRequest) -> list[FieldViolation]:
    if len(request.metadata) > MAX_METADATA_PAIRS:
        return [FieldViolation("metadata", f"There are more than {MAX_METADATA_PAIRS} pairs.")]
    if any(len(key) > MAX_METADATA_KEY or len(value) > MAX_METADATA_VALUE for key, value in request.metadata.items()):
        limits = f"A key has at most {MAX_METADATA_KEY} characters, a value {MAX_METADATA_VALUE}."
        return [FieldViolation("metadata", limits)]
    return []
