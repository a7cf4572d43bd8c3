"""Writing down what came of generations, each in one transaction with its last picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import CapacityError, DependencyUnavailable
from flow2api_generation_service.attempts.past import PastAttempt
from flow2api_generation_service.attempts.repository import AttemptRepository
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.group_writes import GroupWrites, Outcome
from flow2api_generation_service.images.charges import ClosedGeneration, ImageCharges, PictureCharge
from flow2api_generation_service.images.idempotency import IdempotencyRepository, RequestKey, result_of
from flow2api_generation_service.images.request import ImageRequest
from flow2api_generation_service.ledger.amounts import Budget
from flow2api_generation_service.media.models import MediaRow
from flow2api_generation_service.media.repository import MediaRepository
from flow2api_generation_service.requestlog.models import RequestLogRow
from flow2api_generation_service.requestlog.repository import RequestLogRepository
from flow2api_proto.generation.v1 import image_pb2

_PAUSES_SECONDS = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Closing:
    """How a whole generation ended. ``outcome`` is `ok`, or the reason of the error."""

    generation_id: str
    model_id: str
    api_key_id: str
    token_id: int | None
    outcome: str
    made: int
    failed: int
    started: datetime
    key: RequestKey | None
    results: Sequence[image_pb2.GenerateImageResponse]
    charges: Sequence[PictureCharge]
    is_reserved: bool
    attempts: Sequence[PastAttempt] = ()


@dataclass(frozen=True, slots=True)
class _Reservation:
    generation_id: str
    request: ImageRequest
    budget: Budget


@dataclass(frozen=True, slots=True)
class _Page:
    row: MediaRow | None
    closing: Closing | None


class ImageBooks:
    """The rows that pictures leave behind. What many leave at the same time is committed together."""

    def __init__(self, *, database: Database, background: DrainingTasks, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._reservations = GroupWrites("reserve-pictures", self._reserve_together, background=background)
        self._pages = GroupWrites("write-pictures", self._write_together, background=background)

    async def reserve(self, generation_id: str, request: ImageRequest, budget: Budget) -> None:
        """Reserve what the pictures of a generation may cost. Raises CapacityError DAILY_BUDGET_EXHAUSTED."""
        await self._reservations.write(_Reservation(generation_id, request, budget))

    async def give_back(self, generation_id: str) -> None:
        """Release what was reserved for a generation that has not begun; a database that is away leaves it to the
        sweep of the ledger."""
        with suppress(DependencyUnavailable):
            async with self._database.transaction() as session:
                await ImageCharges(session, clock=self._clock).give_back(generation_id)

    async def write(self, row: MediaRow | None, closing: Closing | None) -> None:
        """Keep a picture, and how its generation ended when it is the last one.

        Repeated for some seconds while the database is away, because the picture is paid for; then raises
        DependencyUnavailable.
        """
        for pause in (*_PAUSES_SECONDS, None):
            try:
                await self._pages.write(_Page(row, closing))
            except DependencyUnavailable as error:
                if pause is None:
                    if row is not None:
                        error.metadata["paid"] = "true"
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _reserve_together(self, reservations: Sequence[_Reservation]) -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        async with self._database.transaction() as session:
            charges = ImageCharges(session, clock=self._clock)
            async with charges.together():
                # In the same order everywhere, so that replicas do not lock each other out.
                for each in sorted(reservations, key=lambda one: one.request.api_key_id):
                    try:
                        await charges.reserve(each.generation_id, each.request, each.budget)
                    except CapacityError as error:
                        # Nothing of it was written; the others are not concerned.
                        outcomes[each.generation_id] = error
        return [outcomes.get(each.generation_id) for each in reservations]

    async def _write_together(self, pages: Sequence[_Page]) -> list[Outcome]:
        now = self._clock()
        closings = [page.closing for page in pages if page.closing is not None]
        async with self._database.transaction() as session:
            await MediaRepository(session).add(*(page.row for page in pages if page.row is not None))
            if closings:
                await self._close(session, closings, now)
        return [None] * len(pages)

    async def _close(self, session: AsyncSession, closings: Sequence[Closing], now: datetime) -> None:
        log = RequestLogRepository(session)
        await log.add(*(_log_row(each, now) for each in closings))
        await AttemptRepository(session).add_past([past for each in closings for past in each.attempts], now=now)
        await log.count_images(
            now.date(), made=sum(each.made for each in closings), failed=sum(each.failed for each in closings)
        )
        await ImageCharges(session, clock=self._clock).close_all(
            [ClosedGeneration(each.generation_id, each.charges, each.is_reserved) for each in closings]
        )
        keys = IdempotencyRepository(session)
        for closing in closings:
            if closing.key is None:
                continue
            if closing.made:
                await keys.change(closing.key, closing.generation_id, result=result_of(closing.results))
            else:
                await keys.forget(closing.key, closing.generation_id)


def _log_row(closing: Closing, now: datetime) -> RequestLogRow:
    return RequestLogRow(
        generation_id=closing.generation_id,
        operation="image",
        model_id=closing.model_id,
        api_key_id=closing.api_key_id,
        token_id=closing.token_id,
        outcome=closing.outcome,
        duration_ms=int((now - closing.started).total_seconds() * 1000),
        output_count=closing.made,
        create_time=closing.started,
    )
