"""Making one picture: an account, the upstream's work, the stored file."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InvalidArgument
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_generation_service.attempts.outcomes import (
    ACCEPTED,
    AttemptResult,
    NextStepAfter,
    result_of,
)
from flow2api_generation_service.attempts.past import PastAttempts
from flow2api_generation_service.catalog.image_plan import ImageOption
from flow2api_generation_service.catalog.prices import TokenUsage
from flow2api_generation_service.images.fetch import fetch_picture
from flow2api_generation_service.images.lines import line_of
from flow2api_generation_service.images.metrics import IMAGE_FAILURES_TOTAL, VERIFICATIONS_TOTAL
from flow2api_generation_service.images.progress import PictureProgress
from flow2api_generation_service.images.request import NOBODY, ImageRequest
from flow2api_generation_service.images.search import AccountSearch
from flow2api_generation_service.lease_keeper import HeldToken, LeaseKeeper
from flow2api_generation_service.leasing import SeenBalance
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.pictures import Picture
from flow2api_generation_service.media.service import MediaService, Origin
from flow2api_generation_service.runtime.routes import Routes
from flow2api_generation_service.settings import ImageSettings
from flow2api_proto.generation.v1 import image_pb2
from flow2api_upstream.failures import asks_to_stay_away, pause_before_repeat, retry_rule, to_service_error
from flow2api_upstream.port import (
    FailureClass,
    ImageCall,
    ImageResult,
    Provider,
    SourceImage,
    UploadedImage,
    UpstreamFailure,
)
from flow2api_upstream.port_to_tokens import outcome_of, success
from flow2api_upstream.registry import ProviderRegistry

log = get_logger(__name__)

_BACKOFF = timedelta(seconds=0.5)
_STORE_PAUSES_SECONDS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class MadePicture:
    """A picture in the store, whose row is not recorded yet."""

    row: MediaRow
    result: ImageResult
    seed: int
    provider: str
    token_id: int
    warning: str


class PaidCallMark(Protocol):
    """Told around the call that costs something, for whoever has to know after a crash whether it was made."""

    async def begin(self, token_id: int, option: ImageOption) -> None:
        """The upstream is asked right after this returns. What it raises ends the picture, unasked."""

    async def take_back(self) -> None:
        """The upstream has refused the call, and has taken nothing for it."""


class _NoMark:
    async def begin(self, token_id: int, option: ImageOption) -> None:
        """Nobody has to know."""

    async def take_back(self) -> None:
        """Nobody has to know."""


class PictureJob:
    """One picture of a request, and how far it is.

    ``is_asked``: the upstream is asked for it, so that it is paid for. ``is_deserted``: whether its client is gone.
    ``asked_at``: when, by ``time.monotonic``. ``token_id`` and ``option``: where it was tried last. ``is_in_doubt``:
    that try may have been charged or not. ``usage`` is what the upstream has counted of the picture that it made.
    ``mark`` is told around each paid call. ``attempts`` are the accounts that were asked.
    """

    def __init__(
        self,
        *,
        request: ImageRequest,
        generation_id: str,
        index: int,
        progress: PictureProgress,
        is_deserted: Callable[[], bool],
        mark: PaidCallMark | None = None,
    ) -> None:
        self.request = request
        self.generation_id = generation_id
        self.index = index
        self.progress = progress
        self.is_deserted = is_deserted
        self.mark = mark or _NoMark()
        self.is_asked = False
        self.token_id: int | None = None
        self.option: ImageOption | None = None
        self.is_in_doubt = False
        self.usage: TokenUsage | None = None
        self.asked_at = 0.0
        self.tries = 0
        self.attempts = PastAttempts(generation_id=generation_id, line=line_of(index))


class PictureMaker:
    """Makes pictures, on another account or route where the class of a failure allows it."""

    def __init__(
        self,
        *,
        keeper: LeaseKeeper,
        providers: ProviderRegistry,
        media: MediaService,
        routes: Routes,
        settings: ImageSettings,
    ) -> None:
        self._keeper = keeper
        self._routes = routes
        self._providers = providers
        self._media = media
        self._settings = settings

    async def make(self, job: PictureJob) -> MadePicture:
        """Make one picture and store its bytes.

        Cancelling it before ``job.is_asked`` gives everything back. Raises Flow2APIError; ``metadata["paid"]`` tells
        that the upstream had made the picture.
        """
        options = [option for option in job.request.plan.options if self._can(option)]
        if job.request.person_generation == NOBODY:
            options = [each for each in options if self._providers.get(each.provider).capabilities.people_in_images]
            if not options:
                raise InvalidArgument.of(
                    "person_generation", f"The model {job.request.model_id} cannot be told here to show no people."
                )
        search = AccountSearch(
            keeper=self._keeper,
            options=options,
            api_key_id=job.request.api_key_id,
            wait=self._settings.image_token_wait,
            is_partly_gone=self._routes.is_partly_gone(job.request.plan.model),
        )
        job.progress.enter(image_pb2.IMAGE_STAGE_QUEUED)
        while True:
            held, option = await search.next()
            job.token_id, job.option = held.token_id, option
            job.attempts.begin(
                provider=option.provider,
                upstream_model=option.upstream_model,
                token_id=held.token_id,
                location=held.account.location,
                passed=held.passed,
            )
            async with self._keeper.holding(held) as token:
                job.progress.enter(image_pb2.IMAGE_STAGE_LEASED)
                try:
                    result = await self._on_account(job, token, option)
                except UpstreamFailure as failure:
                    token.outcome = outcome_of(failure)
                    job.is_in_doubt = failure.may_have_been_accepted
                    if failure.failure_class is FailureClass.MODEL_GONE:
                        await self._routes.model_gone(option.provider, option.upstream_model)
                    if failure.failure_class is FailureClass.MODEL_NOT_HERE:
                        # What a location lacks is no try: nothing was begun, and the pool does not ask there again.
                        job.tries -= 1
                    may_go_on = self._has_tries_left(job) and search.may_go_on(failure)
                    following = _next_step(failure) if may_go_on else NextStepAfter.END
                    job.attempts.end(result_of(failure, following))
                    if not may_go_on:
                        raise to_service_error(failure, paid=False) from failure
                    search.failed(failure, token.token_id, option)
                else:
                    job.attempts.end(AttemptResult(ACCEPTED))
                    return await self._finish(job, token, option, result)
            job.progress.enter(image_pb2.IMAGE_STAGE_QUEUED)

    def _can(self, option: ImageOption) -> bool:
        if option.provider not in self._providers.names:
            return False
        capabilities = self._providers.get(option.provider).capabilities
        return capabilities.images and (option.upscale_to is None or capabilities.image_upscale)

    def _has_tries_left(self, job: PictureJob, keep: int = 0) -> bool:
        return not job.is_deserted() and job.tries + keep < self._settings.image_max_attempts

    async def _on_account(self, job: PictureJob, token: HeldToken, option: ImageOption) -> ImageResult:
        """Ask on one account, repeating there what is worth it. Raises UpstreamFailure."""
        provider = self._providers.get(option.provider)
        seen: Counter[FailureClass] = Counter()
        references: Sequence[UploadedImage] | None = None
        while True:
            job.tries += 1
            job.progress.attempt = job.tries
            try:
                if references is None:
                    references = await self._upload(job, token, provider)
                return await self._generate(job, token, option, references)
            except UpstreamFailure as failure:
                # A client that goes away now ends it.
                was_asked, job.is_asked = job.is_asked, False
                if was_asked and not failure.may_have_been_accepted:
                    await job.mark.take_back()
                self._count(failure, provider, token)
                rule = retry_rule(failure)
                seen[failure.failure_class] += 1
                # Bearer, project and proxy were changed already where that helps; the last try belongs to another
                # account.
                if (
                    rule.refresh_first
                    or rule.other_project
                    or rule.other_proxy
                    or failure.timed_out
                    or asks_to_stay_away(failure)
                    or seen[failure.failure_class] > rule.same_token_attempts
                    or not self._has_tries_left(job, keep=1 if rule.other_token else 0)
                ):
                    raise
                job.attempts.again(result_of(failure, NextStepAfter.SAME_ACCOUNT))
                if rule.upload_again:
                    references = None
                pause = pause_before_repeat(failure, _BACKOFF * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            await asyncio.sleep(pause.total_seconds())

    async def _upload(self, job: PictureJob, token: HeldToken, provider: Provider) -> Sequence[UploadedImage]:
        if not job.request.pictures:
            return ()
        job.progress.enter(image_pb2.IMAGE_STAGE_UPLOADING)
        sources = [SourceImage(data=picture.data, mime_type=picture.content_type) for picture in job.request.pictures]

        async def upload(source: SourceImage) -> UploadedImage:
            return await token.authorized(lambda account: provider.upload_image(account, source))

        tasks = [asyncio.create_task(upload(source), name="upload-picture") for source in sources]
        try:
            return await asyncio.gather(*tasks)
        finally:
            await end_tasks(tasks)

    async def _generate(
        self, job: PictureJob, token: HeldToken, option: ImageOption, references: Sequence[UploadedImage]
    ) -> ImageResult:
        provider = self._providers.get(option.provider)
        call = ImageCall(
            upstream_model=option.upstream_model,
            prompt=job.request.prompt,
            aspect_ratio=option.aspect_ratio,
            resolution=option.generate_resolution,
            seed=job.request.seed_of(job.index),
            references=references,
            person_generation=job.request.person_generation,
        )
        await job.mark.begin(token.token_id, option)
        job.is_asked, job.asked_at = True, time.monotonic()
        job.progress.enter(image_pb2.IMAGE_STAGE_GENERATING)
        async with self._telling(job):
            return await token.authorized(lambda account: provider.generate_image(account, call))

    async def _finish(self, job: PictureJob, token: HeldToken, option: ImageOption, result: ImageResult) -> MadePicture:
        """Enlarge, fetch and store what was made; from here on it is paid for."""
        provider = self._providers.get(option.provider)
        token.outcome = success()
        job.usage = TokenUsage(result.usage.input_tokens, result.usage.output_tokens)
        if result.remaining_credits is not None:
            # Not with the lease: what other calls on the account have left by then would be lost.
            balance = SeenBalance(result.remaining_credits, job.asked_at, time.monotonic())
            await token.tell_credits(balance)
        try:
            picture, warning = await self._final_picture(job, token, option, result)
        except UpstreamFailure as failure:
            token.outcome = outcome_of(failure)
            self._count(failure, provider, token)
            raise to_service_error(failure, paid=True) from failure
        job.progress.enter(image_pb2.IMAGE_STAGE_STORING)
        origin = Origin(
            generation_id=job.generation_id,
            api_key_id=job.request.api_key_id,
            provider=option.provider,
            token_id=token.token_id,
            upstream_handle=result.handle,
        )
        return MadePicture(
            row=await self._store(picture, origin),
            result=result,
            seed=result.seed if result.seed is not None else job.request.seed_of(job.index),
            provider=option.provider,
            token_id=token.token_id,
            warning=warning,
        )

    async def _final_picture(
        self, job: PictureJob, token: HeldToken, option: ImageOption, result: ImageResult
    ) -> tuple[Picture, str]:
        """The picture that the client gets, and a warning when it is the smaller one. Raises UpstreamFailure."""
        provider = self._providers.get(option.provider)
        warning = ""
        if option.upscale_to is not None:
            job.progress.enter(image_pb2.IMAGE_STAGE_UPSCALING)
            try:
                return await self._enlarged(provider, token, result, option.upscale_to), ""
            except UpstreamFailure as failure:
                self._count(failure, provider, token)
                warning = (
                    f"The enlargement to {option.upscale_to} failed; this is the {option.generate_resolution} picture."
                )
        return await fetch_picture(provider, token, result, max_bytes=self._settings.image_max_bytes), warning

    async def _enlarged(self, provider: Provider, token: HeldToken, result: ImageResult, target: str) -> Picture:
        handle = result.handle
        if handle is None:
            raise UpstreamFailure(FailureClass.UPSTREAM, "The upstream kept nothing to enlarge.")
        larger = await token.authorized(lambda account: provider.upscale_image(account, handle, target))
        return await fetch_picture(provider, token, larger, max_bytes=self._settings.image_max_bytes)

    async def _store(self, picture: Picture, origin: Origin) -> MediaRow:
        for pause in (*_STORE_PAUSES_SECONDS, None):
            try:
                return await self._media.put_picture(picture, origin)
            except DependencyUnavailable as error:
                if pause is None:
                    error.metadata["paid"] = "true"
                    raise
                await asyncio.sleep(pause)
            except Flow2APIError as error:
                error.metadata["paid"] = "true"
                raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _telling(self, job: PictureJob) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        interval = self._settings.image_progress_interval.total_seconds()
        typical = job.request.plan.model.typical_duration_seconds
        timer: asyncio.TimerHandle

        def tell() -> None:
            nonlocal timer
            job.progress.generating(loop.time() - started, typical)
            timer = loop.call_later(interval, tell)

        timer = loop.call_later(interval, tell)
        try:
            yield
        finally:
            timer.cancel()

    def _count(self, failure: UpstreamFailure, provider: Provider, token: HeldToken) -> None:
        IMAGE_FAILURES_TOTAL.labels(provider.name, failure.failure_class.value).inc()
        if failure.failure_class is FailureClass.VERIFICATION:
            VERIFICATIONS_TOTAL.labels(provider.name).inc()
        log.info(
            "image_try_failed",
            provider=provider.name,
            token_id=token.token_id,
            failure=failure.failure_class.value,
            upstream_reason=failure.reason,
        )


def _next_step(failure: UpstreamFailure) -> NextStepAfter:
    # An account that failed is not asked again for this picture, also one that has no room just now.
    return NextStepAfter.OTHER_ACCOUNT if retry_rule(failure).other_token else NextStepAfter.OTHER_ROUTE
