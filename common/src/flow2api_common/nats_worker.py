"""Working through a queue: each message in a task of its own, never more at once than there is capacity for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from prometheus_client import Counter, Gauge

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger
from flow2api_common.nats_connection import NatsConnection
from flow2api_common.nats_consumer import PullConsumer
from flow2api_common.nats_delivery import Delivery
from flow2api_common.request_context import incoming_request

log = get_logger(__name__)

IN_FLIGHT = Gauge("flow2api_nats_in_flight", "Deliveries being handled", ["consumer"])
FAILURES_TOTAL = Counter("flow2api_nats_handler_failures_total", "Deliveries whose handler raised", ["consumer"])

_FETCH_TIMEOUT = timedelta(seconds=1)
_HEARTBEATS_PER_ACK_WAIT = 3


class PullWorker:
    """Hands every message to ``handler``, at most ``max_in_flight`` at once; other replicas share the durable's work.

    The handler settles the delivery; one that it leaves unsettled is acknowledged when it returns, and given back when
    it raises, after a pause that grows with the deliveries from ``retry_delay`` to ``max_retry_delay``. With a
    ``max_deliver``, the last failure terminates the message. While the handler runs, the ack wait is extended. It runs
    in the message's request id and trace context.
    """

    def __init__(
        self,
        *,
        connection: NatsConnection,
        stream: str,
        durable: str,
        filter_subjects: Sequence[str],
        handler: Callable[[Delivery], Awaitable[None]],
        max_in_flight: int,
        ack_wait: timedelta,
        max_deliver: int = -1,
        batch: int = 64,
        retry_delay: timedelta = timedelta(seconds=1),
        max_retry_delay: timedelta = timedelta(minutes=1),
    ) -> None:
        self._consumer = PullConsumer(
            connection=connection,
            stream=stream,
            durable=durable,
            filter_subjects=filter_subjects,
            ack_wait=ack_wait,
            # The server gives up only after we have, who terminate the message and say so.
            max_deliver=max_deliver if max_deliver < 0 else max_deliver + 1,
        )
        self._durable = durable
        self._handler = handler
        self._max_in_flight = max_in_flight
        self._ack_wait = ack_wait
        self._max_deliver = max_deliver
        self._batch = batch
        self._retry_delay = retry_delay
        self._max_retry_delay = max_retry_delay
        self._in_flight = 0
        self._is_stopping = False
        self._changed = asyncio.Event()

    def request_stop(self) -> None:
        """Take no further message; `run` returns when those under way are handled."""
        self._is_stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Work until `request_stop` or cancelled; cancelling cancels the handlers and gives their messages back."""
        async with asyncio.TaskGroup() as group:
            try:
                while not self._is_stopping:
                    await self._take_some(group)
            finally:
                await self._consumer.aclose()

    async def _take_some(self, group: asyncio.TaskGroup) -> None:
        capacity = self._max_in_flight - self._in_flight
        if capacity <= 0:
            self._changed.clear()
            await self._changed.wait()
            return
        for delivery in await self._consumer.fetch(min(capacity, self._batch), _FETCH_TIMEOUT):
            self._in_flight += 1
            group.create_task(self._handle(delivery), name=f"{self._durable}-{delivery.stream_sequence}")

    async def _handle(self, delivery: Delivery) -> None:
        with IN_FLIGHT.labels(self._durable).track_inprogress(), incoming_request(delivery.headers):
            heartbeat = asyncio.create_task(self._extend_ack_wait(delivery), name=f"{self._durable}-heartbeat")
            try:
                await self._handle_and_settle(delivery)
            except DependencyUnavailable as error:
                # It could not be settled: it comes again after the ack wait.
                log.warning(
                    "delivery_not_settled", consumer=self._durable, delivery=repr(delivery), error=error.message
                )
            finally:
                self._in_flight -= 1
                self._changed.set()
                await end_tasks([heartbeat])

    async def _handle_and_settle(self, delivery: Delivery) -> None:
        try:
            await self._handler(delivery)
        except asyncio.CancelledError:
            with suppress(DependencyUnavailable):
                await delivery.nak(timedelta(0))
            raise
        except Exception as error:  # noqa: BLE001 - the loop owns the consequence: the message comes again
            await self._settle_failed(delivery, error)
        else:
            await delivery.ack()

    async def _settle_failed(self, delivery: Delivery, error: Exception) -> None:
        FAILURES_TOTAL.labels(self._durable).inc()
        fields = {
            "consumer": self._durable,
            "subject": delivery.subject,
            "stream_sequence": delivery.stream_sequence,
            "delivery_count": delivery.delivery_count,
        }
        if 0 < self._max_deliver <= delivery.delivery_count:
            log.error("delivery_failed", **fields, exc_info=error)
            await delivery.term(f"failed {delivery.delivery_count} times, last by {type(error).__name__}")
            return
        delay = self._delay_after(delivery.delivery_count)
        fields["retry_after_seconds"] = round(delay.total_seconds(), 3)
        if isinstance(error, DependencyUnavailable):
            # A peer is away: no mistake that a traceback would tell anything about.
            log.warning("delivery_waits", **fields, error=error.message)
        else:
            log.error("delivery_failed", **fields, exc_info=error)
        await delivery.nak(delay)

    def _delay_after(self, delivery_count: int) -> timedelta:
        doublings = min(delivery_count - 1, 30)
        delay = min(self._retry_delay * (1 << doublings), self._max_retry_delay)
        return delay * random.uniform(0.8, 1.2)  # noqa: S311 - it spreads retries, it protects nothing

    async def _extend_ack_wait(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(self._ack_wait.total_seconds() / _HEARTBEATS_PER_ACK_WAIT)
            with suppress(DependencyUnavailable):
                await delivery.in_progress()
