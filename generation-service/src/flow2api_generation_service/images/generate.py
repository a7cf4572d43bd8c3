"""The use case: check, join or begin a generation, and follow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.errors import Conflict
from flow2api_common.ids import new_id
from flow2api_generation_service.access import AccessClient, daily_budget
from flow2api_generation_service.catalog.catalog import Catalog
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.idempotency_keys import kept_key
from flow2api_generation_service.images.books import ImageBooks
from flow2api_generation_service.images.charges import most_for
from flow2api_generation_service.images.generation import ImageGeneration
from flow2api_generation_service.images.idempotency import (
    Claimed,
    Finished,
    IdempotencyKeys,
    RequestKey,
    RunningElsewhere,
    conflict,
)
from flow2api_generation_service.images.picture import PictureMaker
from flow2api_generation_service.images.request import ImageRequest, read_request, request_hash
from flow2api_generation_service.media.service import MediaService
from flow2api_proto.access.v1.request_quota_pb2 import RequestQuota
from flow2api_proto.generation.v1 import image_pb2

_POLL: Final = timedelta(milliseconds=500)
_LONGEST_JOIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class _Running:
    generation: ImageGeneration
    request_hash: str


@dataclass(frozen=True, slots=True)
class _Admission:
    """What the API key has left of its minute, and whether the pictures were taken out of its day."""

    request_quota: RequestQuota | None
    is_reserved: bool


class GenerateImages:
    """Makes pictures for clients. One per process."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        access: AccessClient,
        media: MediaService,
        maker: PictureMaker,
        books: ImageBooks,
        keys: IdempotencyKeys,
        background: DrainingTasks,
        clock: Clock,
    ) -> None:
        self._catalog = catalog
        self._access = access
        self._media = media
        self._maker = maker
        self._books = books
        self._keys = keys
        self._background = background
        self._clock = clock
        self._running: dict[RequestKey, _Running] = {}

    async def events(
        self, request: image_pb2.GenerateImageRequest
    ) -> AsyncGenerator[image_pb2.GenerateImageResponse, None]:
        """Make pictures and tell how it goes, as the RPC GenerateImage promises. Raises Flow2APIError.

        The API key must allow it (`AccessClient.authorize`), and its daily budget must hold what it costs
        (CapacityError DAILY_BUDGET_EXHAUSTED).

        With a ``request_id``, a repeat joins the running generation or gets the results of the finished one.
        """
        checked = await read_request(request, self._catalog, self._media)
        if not request.request_id:
            generation_id = new_id("image")
            admitted = await self._admit(checked, generation_id)
            generation = self._begin(checked, generation_id, admitted, key=None, digest="")
            async with aclosing(_told(generation, admitted)) as events:
                async for event in events:
                    yield event
            return
        key = RequestKey(request.api_key_id, kept_key(request.request_id, request.request_scope))
        digest = await request_hash(request, checked.pictures)
        async with aclosing(self._repeatable(key, digest, checked)) as events:
            async for event in events:
                yield event

    async def _repeatable(
        self, key: RequestKey, digest: str, request: ImageRequest
    ) -> AsyncGenerator[image_pb2.GenerateImageResponse, None]:
        give_up_at = asyncio.get_running_loop().time() + _LONGEST_JOIN.total_seconds()
        while asyncio.get_running_loop().time() < give_up_at:
            generation, admitted = self._joinable(key, digest), None
            if generation is not None and generation.is_given_up():
                await asyncio.sleep(_POLL.total_seconds())
                continue
            if generation is None:
                generation_id = new_id("image")
                claim = await self._keys.claim(key, digest, generation_id)
                match claim:
                    case Finished(events=results):
                        for index, event in enumerate(results):
                            event.replayed = index == 0
                            yield event
                        return
                    case Claimed():
                        admitted = await self._admit_claimed(request, generation_id, key)
                        generation = self._begin(request, generation_id, admitted, key=key, digest=digest)
                    case RunningElsewhere():
                        await asyncio.sleep(_POLL.total_seconds())
                        continue
            async with aclosing(_told(generation, admitted)) as following:
                async for event in following:
                    yield event
            return
        raise Conflict(
            "A request with the same idempotency key is still running.",
            reason="IDEMPOTENCY_IN_PROGRESS",
            retry_after=timedelta(seconds=5),
        )

    def _joinable(self, key: RequestKey, digest: str) -> ImageGeneration | None:
        running = self._running.get(key)
        if running is None:
            return None
        if running.request_hash != digest:
            raise conflict()
        return running.generation

    async def _admit(self, request: ImageRequest, generation_id: str) -> _Admission:
        authorized = await self._access.authorize(
            api_key_id=request.api_key_id, model=request.plan.model, generation_id=generation_id
        )
        quota = authorized.request_quota if authorized.HasField("request_quota") else None
        if most_for(request).is_free:
            return _Admission(quota, is_reserved=False)
        try:
            await self._books.reserve(generation_id, request, daily_budget(authorized.api_key))
        except BaseException:
            # The client has gone, or the database answers no more: it may have been reserved nevertheless.
            self._background.start(f"give-back-{generation_id}", self._books.give_back(generation_id))
            raise
        return _Admission(quota, is_reserved=True)

    async def _admit_claimed(self, request: ImageRequest, generation_id: str, key: RequestKey) -> _Admission:
        try:
            return await self._admit(request, generation_id)
        except BaseException:
            # Refused, or the client has gone: a repeat begins anew.
            self._background.start(f"forget-{generation_id}", self._keys.forget(key, generation_id))
            raise

    def _begin(
        self,
        request: ImageRequest,
        generation_id: str,
        admitted: _Admission,
        *,
        key: RequestKey | None,
        digest: str,
    ) -> ImageGeneration:
        generation = ImageGeneration(
            request=request,
            generation_id=generation_id,
            key=key,
            is_reserved=admitted.is_reserved,
            maker=self._maker,
            books=self._books,
            keys=self._keys,
            clock=self._clock,
        )
        if key is not None:
            self._running[key] = _Running(generation, digest)
        task = self._background.start(f"generate-{generation_id}", generation.run())
        if key is not None:
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return generation


async def _told(
    generation: ImageGeneration, admitted: _Admission | None
) -> AsyncGenerator[image_pb2.GenerateImageResponse, None]:
    """The events of a generation. The first tells whom it was counted for what is left, and others that they have
    joined it."""
    is_told = admitted is not None and admitted.request_quota is None
    async with aclosing(generation.events.follow()) as events:
        async for event in events:
            if is_told:
                yield event
                continue
            # Others who follow see the same events.
            first = image_pb2.GenerateImageResponse()
            first.CopyFrom(event)
            if admitted is None:
                first.replayed = True
            elif admitted.request_quota is not None:
                first.request_quota.CopyFrom(admitted.request_quota)
            is_told = True
            yield first
