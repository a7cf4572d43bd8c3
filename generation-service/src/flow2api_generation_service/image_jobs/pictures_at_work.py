"""The pictures of one job that a worker makes at the same time, and what becomes of each."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import (
    CapacityError,
    DependencyUnavailable,
    Flow2APIError,
    InternalError,
    UpstreamUnavailable,
)
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.image_jobs.errors import PictureLost
from flow2api_generation_service.image_jobs.models import ImageJobRow
from flow2api_generation_service.image_jobs.picture_mark import PictureMark
from flow2api_generation_service.image_jobs.transitions import ImageJobTransitions, PictureKey
from flow2api_generation_service.images.charges import charge_of
from flow2api_generation_service.images.made_picture import image_of
from flow2api_generation_service.images.metrics import IMAGE_SECONDS, IMAGES_TOTAL
from flow2api_generation_service.images.picture import MadePicture, PictureJob, PictureMaker
from flow2api_generation_service.images.progress import PictureProgress
from flow2api_generation_service.images.request import ImageRequest
from flow2api_generation_service.leasing import NO_ELIGIBLE_TOKEN
from flow2api_generation_service.media.service import MediaService
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_generation_service.videos.changes import VideoChanges
from flow2api_generation_service.videos.outage import until_stored
from flow2api_proto.generation.v1 import image_pb2

log = get_logger(__name__)

_LONGEST_PAUSE: Final = timedelta(seconds=15)


class PicturesAtWork:
    """What one worker does for one job.

    Afterwards ``pause`` says when pictures that found no account want to be tried again, and ``is_hopeless`` whether no
    account of the pool could ever serve them. ``changed`` is set when the job is announced as changed.
    """

    def __init__(
        self,
        job: ImageJobRow,
        attempt_id: str,
        request: ImageRequest,
        *,
        database: Database,
        media: MediaService,
        maker: PictureMaker,
        changes: VideoChanges,
        clock: Clock,
        settings: GenerationServiceSettings,
    ) -> None:
        self._job = job
        self._attempt_id = attempt_id
        self._request = request
        self._database = database
        self._media = media
        self._maker = maker
        self._changes = changes
        self._clock = clock
        self._settings = settings
        self._unfinished: dict[int, tuple[PictureJob, asyncio.Task[None]]] = {}
        self._is_given_up = False
        self.pause: timedelta | None = None
        self.is_hopeless = False
        self.changed = asyncio.Event()

    def give_up(self) -> None:
        """Ask the upstream for nothing more."""
        self._is_given_up = True
        for picture, task in self._unfinished.values():
            if not picture.is_asked:
                task.cancel()

    async def make(self, image_index: int) -> None:
        """Make one picture and write down what came of it; one that finds no account goes on waiting."""
        task = asyncio.current_task()
        if self._is_given_up or task is None:
            return
        key = PictureKey(self._job.generation_id, image_index, self._attempt_id)
        mark = PictureMark(key, self._request, database=self._database, changes=self._changes, clock=self._clock)
        picture = PictureJob(
            request=self._request,
            generation_id=self._job.generation_id,
            index=image_index,
            progress=PictureProgress(lambda _: None),
            is_deserted=lambda: self._is_given_up,
            mark=mark,
        )
        self._unfinished[image_index] = (picture, task)
        try:
            try:
                made = await self._maker.make(picture)
            finally:
                # What follows is short and is not given up any more.
                del self._unfinished[image_index]
        except PictureLost:
            return
        except Flow2APIError as error:
            if not self._may_wait(picture, error):
                await self._failed(key, picture, error)
            else:
                await self._note(picture)
        except asyncio.CancelledError:
            if picture.is_asked:
                raise
            if mark.may_be_set:
                await mark.take_back()
            if not self._is_given_up:
                raise
        except Exception:
            # One picture's bug must not take the other pictures down.
            log.exception("picture_failed", generation_id=self._job.generation_id)
            await self._failed(key, picture, InternalError("unexpected error"))
        else:
            await self._made(key, picture, made)

    def _may_wait(self, picture: PictureJob, error: Flow2APIError) -> bool:
        """Whether nothing is lost by trying again later: no account was free, or a part of ours is away."""
        if error.metadata.get("paid") == "true":
            return False
        never_asked = picture.tries == 0
        if error.reason == NO_ELIGIBLE_TOKEN:
            since = self._job.no_account_since or self._clock()
            if since + self._settings.video_no_account_grace <= self._clock():
                return False
            self.is_hopeless = True
        elif not isinstance(error, CapacityError | DependencyUnavailable) and not (
            # No account could renew its access, or none of the proxies works.
            never_asked and isinstance(error, UpstreamUnavailable)
        ):
            return False
        pause = max(error.retry_after or timedelta(0), self._settings.video_capacity_retry)
        if self.is_hopeless:
            pause = self._settings.video_capacity_retry
        self.pause = min(pause, _LONGEST_PAUSE, self.pause or _LONGEST_PAUSE)
        return True

    async def _note(self, picture: PictureJob) -> None:
        """Keep what was tried of a picture that goes on waiting. Only a note: a database that is away loses it."""
        attempts = picture.attempts.take()
        with suppress(DependencyUnavailable):
            async with self._database.transaction() as session:
                await AttemptRepository(session).add_past(attempts, now=self._clock())

    async def _made(self, key: PictureKey, picture: PictureJob, made: MadePicture) -> None:
        event = image_pb2.GenerateImageResponse(generation_id=key.generation_id, image_index=key.image_index)
        event.image.CopyFrom(image_of(made, self._request.model_id))
        charge, attempts = charge_of(picture, None), picture.attempts.take()

        async def record() -> bool:
            async with self._database.transaction() as session:
                await AttemptRepository(session).add_past(attempts, now=self._clock())
                transitions = ImageJobTransitions(session, clock=self._clock)
                return await transitions.made(key, event, made.row, charge)

        # What the upstream has answered is in no other place.
        if not await until_stored(record):
            log.warning("late_picture_removed", generation_id=key.generation_id, media_id=made.row.media_id)
            await self._media.remove_objects([made.row.object_key])
            return
        IMAGES_TOTAL.labels(self._request.model_id, "ok").inc()
        seconds = (self._clock() - self._job.create_time).total_seconds()
        IMAGE_SECONDS.labels(self._request.model_id, made.provider).observe(seconds)
        await self._changes.announce(key.generation_id)

    async def _failed(self, key: PictureKey, picture: PictureJob, error: Flow2APIError) -> None:
        charge, attempts = charge_of(picture, error), picture.attempts.take()

        async def record() -> None:
            async with self._database.transaction() as session:
                await AttemptRepository(session).add_past(attempts, now=self._clock())
                await ImageJobTransitions(session, clock=self._clock).failed(key, error, charge)

        await until_stored(record)
        IMAGES_TOTAL.labels(self._request.model_id, error.reason).inc()
        await self._changes.announce(key.generation_id)
