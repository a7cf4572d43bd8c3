"""One generation: its pictures at the same time, its events, and what becomes of it when the client goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from flow2api_common.clock import Clock
from flow2api_common.errors import Flow2APIError, InternalError
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_generation_service.images.books import Closing, ImageBooks
from flow2api_generation_service.images.charges import PictureCharge, charge_of
from flow2api_generation_service.images.events import EventLog
from flow2api_generation_service.images.idempotency import RENEW_EVERY, IdempotencyKeys, RequestKey
from flow2api_generation_service.images.made_picture import image_of
from flow2api_generation_service.images.metrics import IMAGE_SECONDS, IMAGES_TOTAL
from flow2api_generation_service.images.picture import MadePicture, PictureJob, PictureMaker
from flow2api_generation_service.images.progress import PictureProgress
from flow2api_generation_service.images.request import ImageRequest
from flow2api_proto.generation.v1 import image_pb2

log = get_logger(__name__)

CANCELLED = "CANCELLED"


class ImageGeneration:
    """Makes the pictures of one request. ``run`` is a task of its own; listeners follow ``events``."""

    def __init__(
        self,
        *,
        request: ImageRequest,
        generation_id: str,
        key: RequestKey | None,
        is_reserved: bool,
        maker: PictureMaker,
        books: ImageBooks,
        keys: IdempotencyKeys,
        clock: Clock,
    ) -> None:
        self.generation_id = generation_id
        self._given_up = False
        self.events = EventLog(self._deserted)
        self._request = request
        self._key = key
        self._is_reserved = is_reserved
        self._maker = maker
        self._books = books
        self._keys = keys
        self._started = clock()
        self._started_seconds = time.perf_counter()
        self._jobs = [
            PictureJob(
                request=request,
                generation_id=generation_id,
                index=index,
                progress=PictureProgress(partial(self._tell, index)),
                is_deserted=lambda: self.events.is_deserted,
            )
            for index in range(request.image_count)
        ]
        self._started_tasks: dict[int, asyncio.Task[None]] = {}
        self._outstanding = request.image_count
        # What ends is written down one by one, so that the last one knows all the others.
        self._one_by_one = asyncio.Lock()
        self._made = 0
        self._errors: list[Flow2APIError] = []
        self._charges: dict[int, PictureCharge] = {}

    async def run(self) -> None:
        """Make all pictures. Ends the events in every case; raises nothing but cancellation at shutdown."""
        end_error: Flow2APIError | None = InternalError("The service is stopping.")
        try:
            async with self._claim_kept(), asyncio.TaskGroup() as group:
                for job in self._jobs:
                    group.create_task(self._picture(job), name=f"picture-{job.index}")
            end_error = None if self._made else self._errors[0]
        finally:
            self.events.end(end_error)

    def is_given_up(self) -> bool:
        """Whether the client went away before everything was asked for, so that nobody can join any more."""
        return self._given_up

    def _deserted(self) -> None:
        """The last listener has gone: what the upstream is not asked for yet is not asked any more."""
        for job in self._jobs:
            if not job.is_asked:
                self._given_up = True
                if job.index in self._started_tasks:
                    self._started_tasks[job.index].cancel()

    async def _picture(self, job: PictureJob) -> None:
        task = asyncio.current_task()
        if self.is_given_up() or task is None:
            # Deserted before it began.
            await self._failed(job, _given_up())
            return
        self._started_tasks[job.index] = task
        try:
            try:
                made = await self._maker.make(job)
            finally:
                # What follows is short and is not given up any more.
                del self._started_tasks[job.index]
        except Flow2APIError as error:
            await self._failed(job, error)
        except asyncio.CancelledError:
            if not self.is_given_up() or job.is_asked:
                raise
            await self._failed(job, _given_up())
        except Exception:
            # One picture's bug must not take the other pictures down.
            log.exception("picture_failed", generation_id=self.generation_id)
            await self._failed(job, InternalError("unexpected error"))
        else:
            await self._stored(job, made)

    async def _stored(self, job: PictureJob, made: MadePicture) -> None:
        event = self._event(job.index)
        event.image.CopyFrom(image_of(made, self._request.model_id))
        async with self._one_by_one:
            self._outstanding -= 1
            self._made += 1
            self._charges[job.index] = charge_of(job, None)
            try:
                await self._books.write(made.row, self._closing(job, event))
            except Flow2APIError as error:
                self._made -= 1
                self._fail(job, error)
                return
            self.events.add(event)
        IMAGES_TOTAL.labels(self._request.model_id, "ok").inc()
        IMAGE_SECONDS.labels(self._request.model_id, made.provider).observe(time.perf_counter() - self._started_seconds)

    async def _failed(self, job: PictureJob, error: Flow2APIError) -> None:
        async with self._one_by_one:
            self._outstanding -= 1
            event = self._fail(job, error)
            closing = self._closing(job, event)
            if closing is not None:
                # The error itself is what the client has to know; a log entry less is bearable.
                with suppress(Flow2APIError):
                    await self._books.write(None, closing)

    def _fail(self, job: PictureJob, error: Flow2APIError) -> image_pb2.GenerateImageResponse:
        self._errors.append(error)
        self._charges[job.index] = charge_of(job, error)
        IMAGES_TOTAL.labels(self._request.model_id, error.reason).inc()
        event = self._event(job.index)
        event.failure.reason = error.reason
        event.failure.message = error.message
        if self._outstanding or self._made:
            self.events.add(event)
        return event

    def _closing(self, job: PictureJob, last: image_pb2.GenerateImageResponse) -> Closing | None:
        if self._outstanding:
            return None
        results = self.events.results
        if last not in results:
            results.append(last)
        return Closing(
            generation_id=self.generation_id,
            model_id=self._request.model_id,
            api_key_id=self._request.api_key_id,
            token_id=job.token_id,
            outcome="ok" if self._made else self._errors[0].reason,
            made=self._made,
            failed=len(self._errors),
            started=self._started,
            key=self._key,
            results=results,
            charges=[self._charges[index] for index in sorted(self._charges)],
            is_reserved=self._is_reserved,
            attempts=[attempt for each in self._jobs for attempt in each.attempts.take()],
        )

    def _event(self, index: int) -> image_pb2.GenerateImageResponse:
        return image_pb2.GenerateImageResponse(generation_id=self.generation_id, image_index=index)

    def _tell(self, index: int, progress: image_pb2.ImageProgress) -> None:
        event = self._event(index)
        event.progress.CopyFrom(progress)
        self.events.add(event)

    @asynccontextmanager
    async def _claim_kept(self) -> AsyncIterator[None]:
        """Keep our claim on the idempotency key alive inside the block."""
        if self._key is None:
            yield
            return
        task = asyncio.create_task(self._keep_claim(self._key), name="keep-idempotency-key")
        try:
            yield
        finally:
            await end_tasks([task])

    async def _keep_claim(self, key: RequestKey) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY.total_seconds())
            try:
                await self._keys.renew(key, self.generation_id)
            except Flow2APIError as error:
                log.warning("idempotency_key_not_renewed", generation_id=self.generation_id, reason=error.reason)


def _given_up() -> InternalError:
    return InternalError("The client went away before the upstream was asked.", reason=CANCELLED)
