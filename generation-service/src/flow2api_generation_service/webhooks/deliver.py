"""Delivers what is due. Any number of replicas share the work; a delivery whose process dies comes again.

Each round fans events out, claims deliveries that are due (one statement, rows that others hold are skipped) and tries
each in a task of its own. What a claim has begun counts as lost when its time is over, so that killing a process at any
point costs a pause and no delivery; the receiver may then see the same ``webhook-id`` twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_common.sealing import SealBroken
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.endpoint_repository import EndpointRepository
from flow2api_generation_service.webhooks.fan_out import FanOut
from flow2api_generation_service.webhooks.models import (
    DeliveryState,
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)
from flow2api_generation_service.webhooks.post import Attempt, AttemptError, WebhookSender
from flow2api_generation_service.webhooks.receivers import SigningSecrets
from flow2api_generation_service.webhooks.schedule import RetrySchedule
from flow2api_generation_service.webhooks.settings import WebhookSettings

log = get_logger(__name__)

DISABLED_GONE: Final = "gone"
_GONE: Final = 410
_CLAIM_MARGIN: Final = timedelta(seconds=10)
_NOT_TRIED: Final = timedelta(0)
# Trying again does not help these.
_FINAL_ERRORS: Final = frozenset({AttemptError.ENDPOINT_DISABLED, AttemptError.SECRET_UNREADABLE})


class DeliveryWorker:
    """Tries deliveries, at most so many at once, and of one receiver only a share of them."""

    def __init__(
        self,
        *,
        database: Database,
        fan_out: FanOut,
        sender: WebhookSender,
        secrets: SigningSecrets,
        schedule: RetrySchedule,
        settings: WebhookSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._fan_out = fan_out
        self._sender = sender
        self._secrets = secrets
        self._schedule = schedule
        self._settings = settings
        self._clock = clock
        self._in_flight: Counter[str] = Counter()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that something may be due."""
        self._woken.set()

    async def run(self) -> None:
        """Deliver until cancelled, which gives up what is under way. A database that is away is waited for."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                started = 0
                try:
                    started = await self.start_due(group)
                except DependencyUnavailable as error:
                    log.warning("webhooks_wait", reason=error.reason, message=error.message)
                if not started:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._settings.webhook_interval.total_seconds()):
                            await self._woken.wait()

    async def start_due(self, group: asyncio.TaskGroup) -> int:
        """Fan out, then begin an attempt of everything that is due and has room; answers how many were begun."""
        async with self._database.transaction(read_only=True) as session:
            if not await DeliveryRepository(session).has_work(self._clock()):
                return 0
        while await self._fan_out.once():
            pass
        room = self._settings.webhook_concurrency - self._in_flight.total()
        if room <= 0:
            return 0
        async with self._database.transaction() as session:
            claimed = await DeliveryRepository(session).claim(
                now=self._clock(),
                limit=room,
                per_receiver=self._settings.webhook_receiver_concurrency,
                in_flight=self._in_flight,
                duration=self._settings.webhook_timeout + _CLAIM_MARGIN,
            )
        for delivery in claimed:
            self._in_flight[delivery.receiver] += 1
            group.create_task(self._deliver(delivery), name=f"webhook-{delivery.delivery_id}")
        return len(claimed)

    async def _deliver(self, delivery: WebhookDeliveryRow) -> None:
        try:
            await self._attempt(delivery)
        except DependencyUnavailable as error:
            # What came of it is not recorded: it comes again.
            log.warning("webhook_not_recorded", delivery_id=delivery.delivery_id, reason=error.reason)
        except Exception:
            # One delivery that cannot be handled stops no other; it comes again when its claim is over.
            log.exception("webhook_delivery_failed", delivery_id=delivery.delivery_id)
        finally:
            self._in_flight[delivery.receiver] -= 1
            if not self._in_flight[delivery.receiver]:
                del self._in_flight[delivery.receiver]
            self._woken.set()

    async def _attempt(self, delivery: WebhookDeliveryRow) -> None:
        began = self._clock()
        endpoint: WebhookEndpointRow | None = None
        if delivery.endpoint_id is not None:
            async with self._database.transaction(read_only=True) as session:
                endpoint = await EndpointRepository(session).get(delivery.endpoint_id)
        url = endpoint.url if endpoint is not None else delivery.url
        attempt = await self._post(delivery, endpoint, url, began)
        await self._record(delivery, attempt, began)
        if attempt.status_code == _GONE and endpoint is not None:
            await self._disable(endpoint.endpoint_id, url)

    async def _post(
        self, delivery: WebhookDeliveryRow, endpoint: WebhookEndpointRow | None, url: str, now: datetime
    ) -> Attempt:
        if delivery.endpoint_id is not None and (endpoint is None or endpoint.disabled_reason is not None):
            return Attempt(None, AttemptError.ENDPOINT_DISABLED, _NOT_TRIED)
        try:
            signing_secrets = self._secrets.of(delivery, endpoint, now=now)
        except SealBroken:
            return Attempt(None, AttemptError.SECRET_UNREADABLE, _NOT_TRIED)
        return await self._sender.post(
            url,
            kind=delivery.kind,
            event_id=delivery.event_id,
            payload=delivery.payload,
            signing_secrets=signing_secrets,
        )

    async def _disable(self, endpoint_id: str, url: str) -> None:
        now = self._clock()
        async with self._database.transaction() as session:
            if not await EndpointRepository(session).disable(endpoint_id, url=url, reason=DISABLED_GONE, now=now):
                return
            await DeliveryRepository(session).give_up_endpoint(
                endpoint_id, error=AttemptError.ENDPOINT_DISABLED, now=now
            )
        log.warning("webhook_endpoint_disabled", endpoint_id=endpoint_id, reason=DISABLED_GONE)

    async def _record(self, delivery: WebhookDeliveryRow, attempt: Attempt, began: datetime) -> None:
        now = self._clock()
        duration_ms = attempt.duration // timedelta(milliseconds=1)
        state, next_time = self._next(delivery, attempt)
        async with self._database.transaction() as session:
            repository = DeliveryRepository(session)
            counts = await repository.settle(
                delivery.delivery_id,
                attempt_number=delivery.attempt_count,
                state=state,
                next_attempt_time=next_time,
                complete_time=None if state is DeliveryState.PENDING else now,
                last_status_code=attempt.status_code,
                last_error=attempt.error,
                last_duration_ms=duration_ms,
            )
            if counts:
                await repository.add_attempt(
                    WebhookAttemptRow(
                        delivery_id=delivery.delivery_id,
                        number=delivery.attempt_count,
                        attempt_time=began,
                        status_code=attempt.status_code,
                        error=attempt.error,
                        duration_ms=duration_ms,
                    )
                )
        log.info(
            "webhook_attempted",
            delivery_id=delivery.delivery_id,
            event_type=delivery.event_type,
            video_id=delivery.video_id,
            receiver=delivery.receiver,
            attempt=delivery.attempt_count,
            status_code=attempt.status_code,
            error=attempt.error,
            state=state,
            duration_ms=duration_ms,
        )

    def _next(self, delivery: WebhookDeliveryRow, attempt: Attempt) -> tuple[DeliveryState, datetime | None]:
        if attempt.error is None:
            return DeliveryState.DELIVERED, None
        if attempt.error in _FINAL_ERRORS or attempt.status_code == _GONE:
            return DeliveryState.FAILED, None
        next_time = self._schedule.next_attempt(
            now=self._clock(),
            failures=delivery.attempt_count - delivery.replayed_at_count,
            give_up_time=delivery.give_up_time,
            retry_after=attempt.retry_after,
        )
        return (DeliveryState.FAILED, None) if next_time is None else (DeliveryState.PENDING, next_time)
