"""The connection to NATS: made in the background, kept for ever, published through with acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import nats.errors
from google.protobuf.message import Message
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header
from nats.js.errors import NoStreamResponseError
from prometheus_client import Counter

from flow2api_common.lifecycle import BackgroundTasks
from flow2api_common.logs import get_logger
from flow2api_common.nats_errors import nats_errors, nats_unavailable
from flow2api_common.nats_streams import StreamLimits, ensure_streams
from flow2api_common.request_context import outgoing_headers
from flow2api_common.settings import NatsSettings

log = get_logger(__name__)

PUBLISHED_TOTAL = Counter("flow2api_nats_published_total", "Messages published, by outcome", ["subject", "outcome"])

_CONNECT_TIMEOUT = timedelta(seconds=2)
_RECONNECT_WAIT = timedelta(milliseconds=250)
_REQUEST_TIMEOUT = timedelta(seconds=5)
_PUBLISH_TIMEOUT = timedelta(seconds=5)
_ACK_TIMEOUT = timedelta(seconds=2)
_PING_TIMEOUT = timedelta(seconds=2)
_CLOSE_TIMEOUT = timedelta(seconds=2)
# How a server that is gone without a word is noticed: after three pings without an answer.
_PING_INTERVAL = timedelta(seconds=10)
_MAX_OUTSTANDING_PINGS = 2


@asynccontextmanager
async def nats_connection(settings: NatsSettings, name: str) -> AsyncIterator[NatsConnection]:
    """A connection that is made in the background and made anew for ever; enters at once, also while NATS is away.

    ``name`` is shown by the server's monitoring.
    """
    connection = NatsConnection(settings, name)
    async with BackgroundTasks() as tasks:
        tasks.start(f"nats-{name}", connection.keep_connected())
        yield connection


class NatsConnection:
    """Made by `nats_connection`."""

    def __init__(self, settings: NatsSettings, name: str) -> None:
        self._servers = [server.strip() for server in settings.nats_url.get_secret_value().split(",")]
        self._name = name
        self._limits = StreamLimits()
        self._connected = asyncio.Event()
        self._closed = asyncio.Event()
        self._client = Client()
        self._epoch = 0

    @property
    def client(self) -> Client:
        """The client of this moment; another one after it closed itself. See `epoch`."""
        return self._client

    @property
    def js(self) -> JetStreamContext:
        """JetStream of this moment."""
        return self._client.jetstream(timeout=_REQUEST_TIMEOUT.total_seconds())

    @property
    def is_connected(self) -> bool:
        """Whether a server is there now."""
        return self._connected.is_set() and self._client.is_connected

    @property
    def epoch(self) -> int:
        """Counts the connections made; what a server was asked in an earlier one, it may have forgotten."""
        return self._epoch

    async def wait_connected(self) -> None:
        """Return once a server is there."""
        await self._connected.wait()

    async def ensure_streams(self, limits: StreamLimits | None = None) -> None:
        """Create the project's streams, or correct them. Safe to repeat; ``limits`` are kept for later repeats.

        Publishing and pulling call it by themselves when a stream is missing. Raises DependencyUnavailable.
        """
        if limits is not None:
            self._limits = limits
        with nats_errors():
            async with asyncio.timeout(2 * _REQUEST_TIMEOUT.total_seconds()):
                await self.wait_connected()
                await ensure_streams(self.js, self._limits)

    async def publish(self, subject: str, message: Message, *, msg_id: str | None) -> None:
        """Publish, and return when JetStream has stored it; the same ``msg_id`` twice in two minutes is stored once.

        Request id and trace context travel in the headers. With an id it is sent again when the server goes away under
        it. Raises DependencyUnavailable after 5 s; it may have been stored nevertheless, so repeat with the same id.
        """
        headers = outgoing_headers()
        if msg_id is not None:
            headers[Header.MSG_ID] = msg_id
        # The last part of a subject is an id or a provider; only what comes before it is fit for a label.
        label = subject.rpartition(".")[0] or subject
        outcome = "failed"
        try:
            with nats_errors():
                async with asyncio.timeout(_PUBLISH_TIMEOUT.total_seconds()):
                    await self._publish(subject, message.SerializeToString(), headers)
            outcome = "stored"
        finally:
            PUBLISHED_TOTAL.labels(label, outcome).inc()

    async def ping(self) -> None:
        """Ask JetStream for an answer. Raises DependencyUnavailable, at once when there is no connection."""
        if not self.is_connected:
            raise nats_unavailable()
        with nats_errors():
            async with asyncio.timeout(_PING_TIMEOUT.total_seconds()):
                await self.js.account_info()

    async def keep_connected(self) -> None:
        """Connect, and when the client closes itself, connect anew; until cancelled. Run by `nats_connection`."""
        try:
            while True:
                try:
                    await self._connect()
                    check_cancelled()
                    await self._closed.wait()
                    log.warning("nats_closed", name=self._name)
                except (nats.errors.Error, OSError) as error:
                    log.warning("nats_connect_failed", name=self._name, error=repr(error))
                self._connected.clear()
                await asyncio.sleep(_RECONNECT_WAIT.total_seconds())
                self._client = Client()
                self._closed.clear()
        finally:
            self._connected.clear()
            with suppress(nats.errors.Error, OSError):
                async with asyncio.timeout(_CLOSE_TIMEOUT.total_seconds()):
                    await self._client.close()

    async def _connect(self) -> None:
        # It tries for ever by itself, at first and after each loss.
        await self._client.connect(
            servers=self._servers,
            name=self._name,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            connect_timeout=_CONNECT_TIMEOUT.total_seconds(),  # type: ignore[arg-type] # fractions are fine
            reconnect_time_wait=_RECONNECT_WAIT.total_seconds(),  # type: ignore[arg-type] # fractions are fine
            ping_interval=_PING_INTERVAL.total_seconds(),  # type: ignore[arg-type] # fractions are fine
            max_outstanding_pings=_MAX_OUTSTANDING_PINGS,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )
        await self._on_connected()

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        """Until it is stored. What has an id is sent again when the server went away under it; other things are not."""
        can_repeat = Header.MSG_ID in headers
        while True:
            await self.wait_connected()
            try:
                await self.js.publish(subject, payload, headers=headers, timeout=_ACK_TIMEOUT.total_seconds())
                return
            except NoStreamResponseError:
                await ensure_streams(self.js, self._limits)
            except nats.errors.Error:
                if not can_repeat:
                    raise
                await asyncio.sleep(_RECONNECT_WAIT.total_seconds())

    async def _on_connected(self) -> None:
        self._epoch += 1
        self._connected.set()
        log.info("nats_connected", name=self._name)

    async def _on_disconnected(self) -> None:
        if self._connected.is_set():
            self._connected.clear()
            log.warning("nats_disconnected", name=self._name)

    async def _on_closed(self) -> None:
        self._closed.set()

    async def _on_error(self, error: Exception) -> None:
        log.debug("nats_error", name=self._name, error=repr(error))


def check_cancelled() -> None:
    """Raise the cancellation that a call of nats-py has swallowed: before Python 3.12, asyncio.wait_for drops one that
    comes with the answer that it waits for."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
