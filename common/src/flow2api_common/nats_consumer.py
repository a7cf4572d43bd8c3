"""Pulling messages from a durable consumer, over restarts of the server.

nats-py's own ``fetch`` holds the first message of a batch back until the batch is full or its time is over; here a
message is handed on when it arrives. Source of the protocol: NATS documentation, "JetStream wire API reference".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_common.nats_connection import NatsConnection, check_cancelled
from flow2api_common.nats_delivery import Delivery

log = get_logger(__name__)

_REQUEST_LIFE = timedelta(seconds=30)
_REQUEST_MARGIN = timedelta(seconds=2)
_RETRY_PAUSE = timedelta(milliseconds=250)
_DRAIN_TIMEOUT = timedelta(seconds=2)

_IDLE_HEARTBEAT = "100"
# The request ended by itself; every other status means that the consumer may be gone.
_ORDINARY_ENDS = frozenset({"404", "408"})


@dataclass(slots=True)
class _PullRequest:
    """What the server still owes us."""

    number: int
    epoch: int
    remaining: int
    expires_at: float


class PullConsumer:
    """A durable pull consumer and our subscription to it; both are made when first needed, and again when lost.

    ``ack_wait``: a message not settled for so long is delivered again. ``max_deliver``: after so many deliveries the
    server gives up; -1 is never. Use one from one task at a time, and close it.
    """

    def __init__(
        self,
        *,
        connection: NatsConnection,
        stream: str,
        durable: str,
        filter_subjects: Sequence[str],
        ack_wait: timedelta,
        max_deliver: int = -1,
        linger: timedelta = timedelta(0),
    ) -> None:
        """``linger``: after the first message, collect what else arrives for so long."""
        self._connection = connection
        self._stream = stream
        self._durable = durable
        self._config = ConsumerConfig(
            name=durable,
            durable_name=durable,
            filter_subjects=list(filter_subjects),
            deliver_policy=DeliverPolicy.ALL,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait.total_seconds(),
            max_deliver=max_deliver,
            # Messages given back with a delay count as pending, and there may be any number of them.
            max_ack_pending=-1,
        )
        self._linger = linger.total_seconds()
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._request: _PullRequest | None = None
        self._request_count = 0
        self._client: Client | None = None
        self._subscription: Subscription | None = None
        self._inbox = ""
        self._ready_epoch: int | None = None
        self._is_failing = False

    async def fetch(self, max_messages: int, timeout: timedelta) -> list[Delivery]:
        """At least one message and at most ``max_messages`` as soon as there are any; none when ``timeout`` is over.

        While NATS is away there are none. Cancelling loses nothing.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                while self._arrived.empty():
                    await self._wait_for_change(max_messages)
                if self._linger and self._arrived.qsize() < max_messages:
                    await asyncio.sleep(self._linger)
        return [self._arrived.get_nowait() for _ in range(min(max_messages, self._arrived.qsize()))]

    async def aclose(self) -> None:
        """Stop receiving, and give back what was received and not fetched, also what is on its way to us just now."""
        subscription, self._subscription = self._subscription, None
        with suppress(nats.errors.Error, OSError, DependencyUnavailable):
            if subscription is not None:
                await _stop_receiving(subscription, wait=self._connection.is_connected)
            while not self._arrived.empty():
                await self._arrived.get_nowait().nak(timedelta(0))

    async def _wait_for_change(self, max_messages: int) -> None:
        """Have a request under way, and wait until a message arrives or the request ends."""
        self._changed.clear()
        await self._connection.wait_connected()
        try:
            await self._ensure_request(max_messages)
        except (nats.errors.Error, OSError, DependencyUnavailable) as error:
            if not self._is_failing:
                self._is_failing = True
                log.warning("nats_pull_failed", consumer=self._durable, error=repr(error))
            await asyncio.sleep(_RETRY_PAUSE.total_seconds())
            return
        if self._is_failing:
            self._is_failing = False
            log.info("nats_pull_resumed", consumer=self._durable)
        # Short, because a lost connection shows only in the epoch.
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_PAUSE.total_seconds()):
                await self._changed.wait()

    async def _ensure_request(self, max_messages: int) -> None:
        epoch, now = self._connection.epoch, asyncio.get_running_loop().time()
        request = self._request
        if request is not None and request.epoch == epoch and now < request.expires_at:
            return
        self._request = None
        if self._ready_epoch != epoch:
            await self._set_up()
            check_cancelled()
            self._ready_epoch = epoch
        client = self._connection.client
        self._request_count += 1
        self._request = _PullRequest(
            number=self._request_count,
            epoch=epoch,
            remaining=max_messages,
            expires_at=now + (_REQUEST_LIFE + _REQUEST_MARGIN).total_seconds(),
        )
        expires_ns = _REQUEST_LIFE // timedelta(microseconds=1) * 1000
        await client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}",
            json.dumps({"batch": max_messages, "expires": expires_ns}).encode(),
            reply=f"{self._inbox}.{self._request_count}",
        )

    async def _set_up(self) -> None:
        js = self._connection.js
        try:
            await js.add_consumer(self._stream, self._config)
        except NotFoundError:
            await self._connection.ensure_streams()
            await js.add_consumer(self._stream, self._config)
        client = self._connection.client
        if self._subscription is None or self._client is not client:
            # A client keeps its subscriptions over reconnections; a new client has none.
            self._client = client
            self._inbox = client.new_inbox()
            self._subscription = await client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    async def _on_message(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._on_delivery(message)
        elif status != _IDLE_HEARTBEAT:
            self._on_request_ended(message.subject, status)

    def _on_delivery(self, message: Msg) -> None:
        request = self._request
        if request is not None:
            request.remaining -= 1
            if request.remaining <= 0:
                self._request = None
        if self._client is not None:
            self._arrived.put_nowait(Delivery(self._client, message))
        self._changed.set()

    def _on_request_ended(self, reply: str, status: str) -> None:
        request = self._request
        if request is None or not reply.endswith(f".{request.number}"):
            return
        self._request = None
        if status not in _ORDINARY_ENDS:
            self._ready_epoch = None
        self._changed.set()


async def _stop_receiving(subscription: Subscription, *, wait: bool) -> None:
    """Unsubscribe; with ``wait``, after everything that the server has sent already has been received."""
    if not wait:
        await subscription.unsubscribe()
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_TIMEOUT.total_seconds()):
            await subscription.drain()  # type: ignore[no-untyped-call] # it has no annotations
