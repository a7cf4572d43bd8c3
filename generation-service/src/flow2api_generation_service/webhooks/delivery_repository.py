"""The queries of deliveries: the queue that they are while pending, and the ledger of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from flow2api_generation_service.webhooks.models import (
    DeliveryState,
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEventRow,
)

_EVENT_BATCH = 100
_DELETE_BATCH = 500


class DeliveryRepository:
    """Reads and writes deliveries within one session; never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def has_work(self, now: datetime) -> bool:
        """Whether there is an event to fan out or a delivery that is due."""
        event = await self._session.scalar(select(WebhookEventRow.event_id).limit(1))
        return event is not None or await self._session.scalar(_due(now).limit(1)) is not None

    async def take_events(self) -> Sequence[WebhookEventRow]:
        """Some events that no other transaction has taken; delete them in this one."""
        statement = select(WebhookEventRow).order_by(WebhookEventRow.event_id).limit(_EVENT_BATCH)
        return (await self._session.scalars(statement.with_for_update(skip_locked=True))).all()

    async def delete_events(self, event_ids: Collection[str]) -> None:
        """Forget events that have been fanned out."""
        await self._session.execute(delete(WebhookEventRow).where(WebhookEventRow.event_id.in_(event_ids)))

    async def add(self, rows: Sequence[WebhookDeliveryRow]) -> None:
        """Store new deliveries."""
        self._session.add_all(rows)
        await self._session.flush()

    async def claim(
        self, *, now: datetime, limit: int, per_receiver: int, in_flight: Mapping[str, int], duration: timedelta
    ) -> Sequence[WebhookDeliveryRow]:
        """Begin an attempt of deliveries that are due, so that nobody else begins one for this long.

        The longest due come first, but of one receiver never more than its share is under way.
        """
        full = [receiver for receiver, count in in_flight.items() if count >= per_receiver]
        rank = func.row_number().over(
            partition_by=WebhookDeliveryRow.receiver,
            order_by=(WebhookDeliveryRow.next_attempt_time, WebhookDeliveryRow.delivery_id),
        )
        ranked = _due(now).add_columns(rank.label("rank")).where(WebhookDeliveryRow.receiver.not_in(full)).subquery()
        # A window and FOR UPDATE exclude each other in one SELECT, so that the lock looks at "due" again.
        rows = (
            select(WebhookDeliveryRow)
            .where(
                WebhookDeliveryRow.delivery_id.in_(select(ranked.c.delivery_id).where(ranked.c.rank <= per_receiver)),
                WebhookDeliveryRow.state == DeliveryState.PENDING,
                WebhookDeliveryRow.next_attempt_time <= now,
            )
            .order_by(WebhookDeliveryRow.next_attempt_time)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        room = {receiver: per_receiver - count for receiver, count in in_flight.items()}
        claimed = []
        for row in (await self._session.scalars(rows)).all():
            left = room.get(row.receiver, per_receiver)
            if left > 0:
                room[row.receiver] = left - 1
                row.attempt_count += 1
                row.next_attempt_time = now + duration
                claimed.append(row)
        await self._session.flush()
        return claimed

    async def settle(self, delivery_id: str, *, attempt_number: int, **values: Any) -> bool:
        """Record the end of an attempt, unless it counts as lost by now."""
        return await self._change(
            delivery_id, WebhookDeliveryRow.attempt_count == attempt_number, state_now=DeliveryState.PENDING, **values
        )

    async def add_attempt(self, row: WebhookAttemptRow) -> None:
        """Keep an attempt in the ledger."""
        self._session.add(row)
        await self._session.flush()

    async def give_up_endpoint(self, endpoint_id: str, *, error: str, now: datetime) -> None:
        """End everything that waits for a receiver."""
        await self._session.execute(
            update(WebhookDeliveryRow)
            .where(WebhookDeliveryRow.endpoint_id == endpoint_id, WebhookDeliveryRow.state == DeliveryState.PENDING)
            .values(state=DeliveryState.FAILED, last_error=error, next_attempt_time=None, complete_time=now)
            .execution_options(synchronize_session=False)
        )

    async def readdress(self, endpoint_id: str, *, url: str, receiver: str) -> None:
        """Send what waits for a receiver to its new URL."""
        await self._session.execute(
            update(WebhookDeliveryRow)
            .where(WebhookDeliveryRow.endpoint_id == endpoint_id, WebhookDeliveryRow.state == DeliveryState.PENDING)
            .values(url=url, receiver=receiver)
            .execution_options(synchronize_session=False)
        )

    async def get(self, delivery_id: str) -> WebhookDeliveryRow | None:
        """One delivery as it is now."""
        statement = select(WebhookDeliveryRow).where(WebhookDeliveryRow.delivery_id == delivery_id)
        return await self._session.scalar(statement.execution_options(populate_existing=True))

    async def attempts(self, delivery_id: str) -> Sequence[WebhookAttemptRow]:
        """Its attempts, in order."""
        statement = select(WebhookAttemptRow).where(WebhookAttemptRow.delivery_id == delivery_id)
        return (await self._session.scalars(statement.order_by(WebhookAttemptRow.number))).all()

    async def page(
        self,
        *,
        limit: int,
        after_id: str,
        api_key_id: str = "",
        state: DeliveryState | None = None,
        video_id: str = "",
        endpoint_id: str = "",
    ) -> Sequence[WebhookDeliveryRow]:
        """The ledger, newest first. Ids are time-ordered, so that the id is the cursor."""
        statement = select(WebhookDeliveryRow).order_by(WebhookDeliveryRow.delivery_id.desc()).limit(limit)
        if after_id:
            statement = statement.where(WebhookDeliveryRow.delivery_id < after_id)
        if api_key_id:
            statement = statement.where(WebhookDeliveryRow.api_key_id == api_key_id)
        if state is not None:
            statement = statement.where(WebhookDeliveryRow.state == state)
        if video_id:
            statement = statement.where(WebhookDeliveryRow.video_id == video_id)
        if endpoint_id:
            statement = statement.where(WebhookDeliveryRow.endpoint_id == endpoint_id)
        return (await self._session.scalars(statement)).all()

    async def replay(self, delivery_id: str, *, now: datetime, give_up_time: datetime, url: str, receiver: str) -> bool:
        """Make a delivery due now, also one that is finished."""
        return await self._change(
            delivery_id,
            state=DeliveryState.PENDING,
            next_attempt_time=now,
            give_up_time=give_up_time,
            replayed_at_count=WebhookDeliveryRow.attempt_count,
            complete_time=None,
            url=url,
            receiver=receiver,
        )

    async def delete_finished_before(self, time: datetime) -> int:
        """Remove some finished deliveries that are older, with their attempts; answers how many."""
        old = (
            select(WebhookDeliveryRow.delivery_id)
            .where(WebhookDeliveryRow.complete_time < time)
            .limit(_DELETE_BATCH)
            .scalar_subquery()
        )
        statement = delete(WebhookDeliveryRow).where(WebhookDeliveryRow.delivery_id.in_(old))
        statement = statement.execution_options(synchronize_session=False)
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount

    async def _change(
        self, delivery_id: str, *guards: Any, state_now: DeliveryState | None = None, **values: Any
    ) -> bool:
        statement = update(WebhookDeliveryRow).where(WebhookDeliveryRow.delivery_id == delivery_id, *guards)
        if state_now is not None:
            statement = statement.where(WebhookDeliveryRow.state == state_now)
        statement = statement.values(**values).execution_options(synchronize_session=False)
        return cast("CursorResult[Any]", await self._session.execute(statement)).rowcount == 1


def _due(now: datetime) -> Any:
    return select(WebhookDeliveryRow.delivery_id).where(
        WebhookDeliveryRow.state == DeliveryState.PENDING, WebhookDeliveryRow.next_attempt_time <= now
    )
