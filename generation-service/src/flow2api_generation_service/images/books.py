"""Writing down what came of a generation, in one transaction with its last picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_generation_service.images.charges import ImageCharges, PictureCharge
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


class ImageBooks:
    """The rows that pictures leave behind."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def reserve(self, generation_id: str, request: ImageRequest, budget: Budget) -> None:
        """Reserve what the pictures of a generation may cost. Raises CapacityError DAILY_BUDGET_EXHAUSTED."""
        async with self._database.transaction() as session:
            await ImageCharges(session, clock=self._clock).reserve(generation_id, request, budget)

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
                await self._write_once(row, closing)
            except DependencyUnavailable as error:
                if pause is None:
                    if row is not None:
                        error.metadata["paid"] = "true"
                    raise
                await asyncio.sleep(pause)
            else:
                return

    async def _write_once(self, row: MediaRow | None, closing: Closing | None) -> None:
        now = self._clock()
        async with self._database.transaction() as session:
            if row is not None:
                await MediaRepository(session).add(row)
            if closing is None:
                return
            log = RequestLogRepository(session)
            await log.add(
                RequestLogRow(
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
            )
            await log.count_images(now.date(), made=closing.made, failed=closing.failed)
            charges = ImageCharges(session, clock=self._clock)
            await charges.close(closing.generation_id, closing.charges, is_reserved=closing.is_reserved)
            if closing.key is None:
                return
            keys = IdempotencyRepository(session)
            if closing.made:
                await keys.change(closing.key, closing.generation_id, result=result_of(closing.results))
            else:
                await keys.forget(closing.key, closing.generation_id)
