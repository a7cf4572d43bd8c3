"""Idempotency keys: a repeated request joins the first one or gets its result, and never pays again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy import CursorResult, delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import Conflict
from flow2api_generation_service.images.models import IdempotencyKeyRow
from flow2api_proto.generation.v1 import image_pb2

CLAIM: Final = timedelta(seconds=45)
RENEW_EVERY: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What names a request: the API key, and the client's idempotency key as it is kept (`kept_key`)."""

    api_key_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The request is ours to run."""


@dataclass(frozen=True, slots=True)
class RunningElsewhere:
    """Another replica runs it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """It has been run; these are its results."""

    events: tuple[image_pb2.GenerateImageResponse, ...]


class IdempotencyRepository:
    """The rows of idempotency keys within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, key: RequestKey) -> IdempotencyKeyRow | None:
        """The row as it is now."""
        return await self._session.get(IdempotencyKeyRow, (key.api_key_id, key.request_id), populate_existing=True)

    async def take_over(self, row: IdempotencyKeyRow, **values: object) -> bool:
        """Change the row unless somebody else has since it was read."""
        statement = (
            update(IdempotencyKeyRow)
            .where(
                IdempotencyKeyRow.api_key_id == row.api_key_id,
                IdempotencyKeyRow.request_id == row.request_id,
                IdempotencyKeyRow.generation_id == row.generation_id,
                IdempotencyKeyRow.claimed_until == row.claimed_until,
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount == 1

    async def change(self, key: RequestKey, generation_id: str, **values: object) -> None:
        """Change the row of a generation of ours."""
        await self._session.execute(
            update(IdempotencyKeyRow)
            .where(
                IdempotencyKeyRow.api_key_id == key.api_key_id,
                IdempotencyKeyRow.request_id == key.request_id,
                IdempotencyKeyRow.generation_id == generation_id,
            )
            .values(**values)
            .execution_options(synchronize_session=False)
        )

    async def forget(self, key: RequestKey, generation_id: str) -> None:
        """Remove the row of a generation of ours, so that a repeat runs anew."""
        await self._session.execute(
            delete(IdempotencyKeyRow).where(
                IdempotencyKeyRow.api_key_id == key.api_key_id,
                IdempotencyKeyRow.request_id == key.request_id,
                IdempotencyKeyRow.generation_id == generation_id,
            )
        )

    async def delete_expired(self, now: datetime) -> None:
        """Remove rows whose time is over."""
        await self._session.execute(delete(IdempotencyKeyRow).where(IdempotencyKeyRow.expire_time <= now))


class IdempotencyKeys:
    """Claims on requests, across replicas."""

    def __init__(self, *, database: Database, clock: Clock, retention: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention

    async def claim(
        self, key: RequestKey, request_hash: str, generation_id: str
    ) -> Claimed | RunningElsewhere | Finished:
        """Ask to run a request. Raises Conflict IDEMPOTENCY_CONFLICT when the key was used for another body."""
        for _ in range(2):
            try:
                return await self._claim_once(key, request_hash, generation_id)
            except IntegrityError:
                # Another replica was faster by a moment: look at what it has written.
                continue
        return RunningElsewhere()

    async def renew(self, key: RequestKey, generation_id: str) -> None:
        """Say that we still run it."""
        async with self._database.transaction() as session:
            await IdempotencyRepository(session).change(key, generation_id, claimed_until=self._clock() + CLAIM)

    async def forget(self, key: RequestKey, generation_id: str) -> None:
        """Give up a claim of ours, so that a repeat runs anew."""
        async with self._database.transaction() as session:
            await IdempotencyRepository(session).forget(key, generation_id)

    async def delete_expired(self) -> None:
        """Remove keys whose time is over."""
        async with self._database.transaction() as session:
            await IdempotencyRepository(session).delete_expired(self._clock())

    async def _claim_once(
        self, key: RequestKey, request_hash: str, generation_id: str
    ) -> Claimed | RunningElsewhere | Finished:
        now = self._clock()
        fresh = {
            "request_hash": request_hash,
            "generation_id": generation_id,
            "result": None,
            "claimed_until": now + CLAIM,
            "create_time": now,
            "expire_time": now + self._retention,
        }
        async with self._database.transaction() as session:
            repository = IdempotencyRepository(session)
            row = await repository.get(key)
            if row is None:
                session.add(IdempotencyKeyRow(api_key_id=key.api_key_id, request_id=key.request_id, **fresh))
                await session.flush()
                return Claimed()
            if row.expire_time > now:
                if row.request_hash != request_hash:
                    raise conflict()
                if row.result is not None:
                    return Finished(events_of(row.result))
                if row.claimed_until > now:
                    return RunningElsewhere()
            return Claimed() if await repository.take_over(row, **fresh) else RunningElsewhere()


def conflict() -> Conflict:
    """The key was used for something else."""
    return Conflict("The idempotency key was used before with another request body.", reason="IDEMPOTENCY_CONFLICT")


def result_of(events: Sequence[image_pb2.GenerateImageResponse]) -> list[dict[str, Any]]:
    """Events in the form in which the table keeps them."""
    return [MessageToDict(event, preserving_proto_field_name=True) for event in events]


def events_of(result: Sequence[dict[str, Any]]) -> tuple[image_pb2.GenerateImageResponse, ...]:
    """The events that the table kept; members of a newer version are left out."""
    return tuple(ParseDict(each, image_pb2.GenerateImageResponse(), ignore_unknown_fields=True) for each in result)
