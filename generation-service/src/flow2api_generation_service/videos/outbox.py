"""The outbox: messages decided inside a transaction, published after it.

A row is claimed for some seconds, published with its ``Nats-Msg-Id`` and deleted once JetStream has acknowledged it.
When the relay dies in between, another claims the row again later; JetStream drops the repeat, and consumers would not
mind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final, Protocol, cast

from google.protobuf.message import Message
from sqlalchemy import CursorResult, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_common.request_context import incoming_request, outgoing_headers
from flow2api_generation_service.videos.models import OutboxRow
from flow2api_proto.events.v1 import image_events_pb2, video_events_pb2

log = get_logger(__name__)

_MESSAGE_TYPES: Final[Mapping[str, type[Message]]] = {
    type_.DESCRIPTOR.name: type_
    for type_ in (video_events_pb2.SubmitVideo, video_events_pb2.PollVideo, image_events_pb2.GenerateImages)
}
_BATCH: Final = 100
_PUBLISH_CONCURRENCY: Final = 16


class Publisher(Protocol):
    """What the relay needs of the NATS connection."""

    async def publish(self, subject: str, message: Message, *, msg_id: str | None) -> object:
        """Hand a message to JetStream and wait until it is kept. Raises DependencyUnavailable."""


class OutboxRepository:
    """The rows of the outbox, within one session."""

    def __init__(self, session: AsyncSession, *, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def add(self, subject: str, message: Message, *, message_id: str) -> None:
        """Publish this once the transaction has committed."""
        self._session.add(
            OutboxRow(
                subject=subject,
                message_id=message_id,
                message_type=message.DESCRIPTOR.name,
                payload=message.SerializeToString(),
                headers=outgoing_headers(),
                create_time=self._clock(),
            )
        )
        await self._session.flush()

    async def claim(self, duration: timedelta) -> Sequence[OutboxRow]:
        """Take the oldest rows that nobody holds, so that no other relay publishes them for this long."""
        now = self._clock()
        free = (
            select(OutboxRow.outbox_id)
            .where(or_(OutboxRow.claimed_until.is_(None), OutboxRow.claimed_until <= now))
            .order_by(OutboxRow.outbox_id)
            .limit(_BATCH)
            .with_for_update(skip_locked=True)
        )
        ids = (await self._session.scalars(free)).all()
        if not ids:
            return ()
        await self._session.execute(
            update(OutboxRow)
            .where(OutboxRow.outbox_id.in_(ids))
            .values(claimed_until=now + duration)
            .execution_options(synchronize_session=False)
        )
        rows = select(OutboxRow).where(OutboxRow.outbox_id.in_(ids)).order_by(OutboxRow.outbox_id)
        return (await self._session.scalars(rows)).all()

    async def delete(self, ids: Sequence[int]) -> int:
        """Forget rows that JetStream has; answers how many there were."""
        statement = delete(OutboxRow).where(OutboxRow.outbox_id.in_(ids))
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount

    async def release(self, ids: Sequence[int]) -> None:
        """Give back rows that could not be published."""
        await self._session.execute(
            update(OutboxRow)
            .where(OutboxRow.outbox_id.in_(ids))
            .values(claimed_until=None)
            .execution_options(synchronize_session=False)
        )


class OutboxRelay:
    """Publishes the outbox. Any number of replicas may run one each."""

    def __init__(
        self, *, database: Database, publisher: Publisher, clock: Clock, interval: timedelta, claim: timedelta
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._clock = clock
        self._interval = interval
        self._claim = claim
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that a transaction with a message has just committed."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled. A store that is away is waited for."""
        while True:
            self._woken.clear()
            try:
                published = await self.publish_once()
            except DependencyUnavailable as error:
                log.warning("outbox_waits", reason=error.reason, message=error.message)
                published = 0
                await asyncio.sleep(self._interval.total_seconds())
            if not published:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval.total_seconds()):
                        await self._woken.wait()

    async def publish_once(self) -> int:
        """Publish one batch; answers how many rows went out. Raises DependencyUnavailable when a store is away.

        A row that cannot be published for another reason stays, claimed, and holds up no other.
        """
        async with self._database.transaction(read_only=True) as session:
            if await session.scalar(select(OutboxRow.outbox_id).limit(1)) is None:
                return 0
        async with self._database.transaction() as session:
            rows = await OutboxRepository(session, clock=self._clock).claim(self._claim)
        if not rows:
            return 0
        slots = asyncio.Semaphore(_PUBLISH_CONCURRENCY)
        outcomes = await asyncio.gather(*(self._publish(row, slots) for row in rows), return_exceptions=True)
        sent = [row.outbox_id for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
        away = [error for error in outcomes if isinstance(error, DependencyUnavailable)]
        unsent = [row.outbox_id for row, outcome in zip(rows, outcomes, strict=True) if outcome in away]
        async with self._database.transaction() as session:
            repository = OutboxRepository(session, clock=self._clock)
            await repository.delete(sent)
            await repository.release(unsent)
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome is not None and outcome not in away:
                log.error("outbox_row_not_published", outbox_id=row.outbox_id, subject=row.subject, exc_info=outcome)
            if isinstance(outcome, asyncio.CancelledError):
                raise outcome
        if away:
            raise away[0]
        return len(sent)

    async def _publish(self, row: OutboxRow, slots: asyncio.Semaphore) -> None:
        message = _MESSAGE_TYPES[row.message_type]()
        message.ParseFromString(row.payload)
        async with slots:
            with incoming_request(row.headers):
                await self._publisher.publish(row.subject, message, msg_id=row.message_id)
