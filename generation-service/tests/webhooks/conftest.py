"""A receiver on loopback, and the delivery of webhooks over a real database with a clock that tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest
import pytest_asyncio
from openai import OpenAI
from pydantic import SecretStr

from flow2api_common.database import Database
from flow2api_common.ids import new_id
from flow2api_common.outbound.addresses import Address
from flow2api_common.outbound.targets import system_resolver
from flow2api_common.sealing import Seal
from flow2api_common.settings import load_settings
from flow2api_generation_service.webhooks.deliver import DeliveryWorker
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.endpoints import WebhookEndpoints
from flow2api_generation_service.webhooks.events import event_payload
from flow2api_generation_service.webhooks.fan_out import FanOut
from flow2api_generation_service.webhooks.ledger import WebhookLedger
from flow2api_generation_service.webhooks.models import WebhookDeliveryRow, WebhookEventRow
from flow2api_generation_service.webhooks.post import WebhookSender
from flow2api_generation_service.webhooks.receivers import (
    SEAL_OWNER,
    SECRET_PURPOSE,
    ReceiverAddresses,
    SigningSecrets,
)
from flow2api_generation_service.webhooks.schedule import RetrySchedule
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_proto.generation.v1 import webhook_service_pb2

START = datetime.now(UTC).replace(microsecond=0)
JOB_SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
KEY = SecretStr("secret-key-for-tests-0123456789")


@dataclass(frozen=True)
class Received:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that answers what it is told to, and keeps what comes."""

    port: int = 0
    status: int = 200
    extra_headers: str = ""
    received: list[Received] = field(default_factory=list)
    gate: asyncio.Event | None = None
    now_open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def unwrapped(self, secret: str = JOB_SECRET) -> list[Any]:
        """Every request so far, as the official SDK verifies and reads it."""
        client = OpenAI(api_key="unused")
        return [client.webhooks.unwrap(each.body, each.headers, secret=secret) for each in self.received]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.received.append(Received(first.split(" ")[1], headers, body))
            self.now_open += 1
            self.most_open = max(self.most_open, self.now_open)
            try:
                if self.gate is not None:
                    await self.gate.wait()
            finally:
                self.now_open -= 1
            head = f"HTTP/1.1 {self.status} Hm\r\n{self.extra_headers}content-length: 2\r\nconnection: close\r\n\r\n"
            writer.write(head.encode() + b"ok")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The sender has given up.
        finally:
            writer.close()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", receiver.port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        if receiver.gate is not None:
            receiver.gate.set()
        server.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """One that answers 200."""
    async with listening(Receiver()) as running:
        yield running


@pytest_asyncio.fixture
async def other_receiver() -> AsyncIterator[Receiver]:
    """Another one."""
    async with listening(Receiver()) as running:
        yield running


class TurnedClock:
    """The time, as the test wants it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, span: timedelta) -> None:
        self.now += span


@dataclass
class Deliveries:
    """One replica that delivers, and the rows behind it."""

    database: Database
    settings: WebhookSettings
    clock: TurnedClock
    worker: DeliveryWorker
    fan_out: FanOut
    endpoints: WebhookEndpoints
    ledger: WebhookLedger
    seal: Seal
    names: dict[str, list[str]]

    async def finish_job(self, *, url: str = "", secret: str = JOB_SECRET, **fields: Any) -> str:
        """The event of a job that has ended; answers its id."""
        event_id = new_id("evt")
        values = {
            "event_id": event_id,
            "event_type": "video.completed",
            "video_id": "video_1",
            "api_key_id": "key_1",
            "webhook_url": url,
            "sealed_webhook_secret": self.seal.seal(secret, purpose=SECRET_PURPOSE) if url and secret else None,
            "create_time": self.clock(),
        } | fields
        values["payload"] = event_payload(event_id, values["event_type"], {"id": values["video_id"]}, self.clock())
        async with self.database.transaction() as session:
            session.add(WebhookEventRow(**values))
        return event_id

    async def round(self) -> int:
        """Deliver what is due, and wait for the end of the attempts."""
        async with asyncio.TaskGroup() as group:
            return await self.worker.start_due(group)

    async def rows(self) -> Sequence[WebhookDeliveryRow]:
        """The ledger, oldest first."""
        async with self.database.transaction(read_only=True) as session:
            return (await DeliveryRepository(session).page(limit=1000, after_id=""))[::-1]

    async def row(self) -> WebhookDeliveryRow:
        """The only delivery."""
        (row,) = await self.rows()
        return row


MakeDeliveries = Callable[..., Any]


@pytest_asyncio.fixture
async def make_deliveries(receiver: Receiver, other_receiver: Receiver) -> AsyncIterator[MakeDeliveries]:
    """Makes replicas over one database."""
    senders: list[WebhookSender] = []

    def make(database: Database, *, clock: TurnedClock | None = None, **changes: Any) -> Deliveries:
        allowed = [receiver.host, other_receiver.host]
        settings = load_settings(
            WebhookSettings, **{"secret_key": KEY, "allow_private_hosts": allowed, "webhook_timeout": 2} | changes
        )
        names: dict[str, list[str]] = {}

        async def resolve(host: str, port: int) -> Sequence[Address]:
            if host in names:
                return [ip_address(text) for text in names[host]]
            return await system_resolver(host, port)

        clock = clock or TurnedClock()
        seal = Seal(settings.secret_key, owner=SEAL_OWNER)
        addresses = ReceiverAddresses(settings, resolve=resolve)
        secrets = SigningSecrets(settings, seal)
        sender = WebhookSender(settings=settings, addresses=addresses, clock=lambda: datetime.now(UTC))
        senders.append(sender)
        fan_out = FanOut(database=database, settings=settings, clock=clock)
        worker = DeliveryWorker(
            database=database,
            fan_out=fan_out,
            sender=sender,
            secrets=secrets,
            schedule=RetrySchedule(settings.webhook_first_pause, settings.webhook_longest_pause, lambda: 0.5),
            settings=settings,
            clock=clock,
        )
        endpoints = WebhookEndpoints(
            database=database, addresses=addresses, seal=seal, secrets=secrets, sender=sender, clock=clock
        )
        ledger = WebhookLedger(database=database, settings=settings, clock=clock)
        return Deliveries(database, settings, clock, worker, fan_out, endpoints, ledger, seal, names)

    yield make
    for sender in senders:
        await sender.aclose()


@pytest.fixture
def deliveries(database: Database, make_deliveries: MakeDeliveries) -> Any:
    """One replica, over each kind of database."""
    return make_deliveries(database)


@pytest.fixture
def make_endpoint(deliveries: Deliveries) -> Callable[..., Any]:
    """Registers a receiver; answers its row and its secret."""

    async def make(url: str, event_types: Sequence[str], *, api_key_id: str = "key_1") -> Any:
        return await deliveries.endpoints.create(
            webhook_service_pb2.CreateWebhookEndpointRequest(
                api_key_id=api_key_id, name="hook", url=url, event_types=event_types
            )
        )

    return make
