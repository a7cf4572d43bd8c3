"""The outbox publishes each decision at least once, and JetStream keeps it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio
from google.protobuf.message import Message
from pydantic import SecretStr
from sqlalchemy import func, select, update

from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.nats_client import NatsConnection, nats_connection
from flow2api_common.nats_streams import VIDEO_JOBS
from flow2api_common.settings import NatsSettings, load_settings
from flow2api_generation_service.videos.messages import enqueue_submission
from flow2api_generation_service.videos.models import OutboxRow
from flow2api_generation_service.videos.outbox import OutboxRelay, Publisher
from flow2api_generation_service.videos.states import Stage
from flow2api_testing.waiting import eventually


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


class Paper:
    """Writes down what would be published; refuses while it is away."""

    def __init__(self) -> None:
        self.published: list[str | None] = []
        self.is_away = False

    async def publish(self, subject: str, message: Message, *, msg_id: str | None) -> None:
        if self.is_away:
            raise DependencyUnavailable("away")
        self.published.append(msg_id)


def relay(database: Database, publisher: Publisher, clock: Clock) -> OutboxRelay:
    return OutboxRelay(
        database=database,
        publisher=publisher,
        clock=clock,
        interval=timedelta(milliseconds=50),
        claim=timedelta(seconds=10),
    )


async def enqueue(database: Database, clock: Clock, *video_ids: str) -> None:
    async with database.transaction() as session:
        for video_id in video_ids:
            await enqueue_submission(session, clock=clock, video_id=video_id, stage=Stage.GENERATE, provider="flow")


async def waiting_rows(database: Database) -> int:
    async with database.transaction(read_only=True) as session:
        return await session.scalar(select(func.count()).select_from(OutboxRow)) or 0


async def test_publishes_in_order_and_forgets(database: Database) -> None:
    clock, paper = Clock(), Paper()
    await enqueue(database, clock, "video_1", "video_2")
    assert await relay(database, paper, clock).publish_once() == 2
    assert paper.published == ["video_1:1", "video_2:1"]
    assert await waiting_rows(database) == 0


async def test_keeps_what_could_not_be_published(database: Database) -> None:
    clock, paper = Clock(), Paper()
    outbox = relay(database, paper, clock)
    await enqueue(database, clock, "video_1")
    paper.is_away = True
    running = asyncio.create_task(outbox.run())
    paper.is_away = False
    await eventually(lambda: paper.published == ["video_1:1"])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_row_that_nobody_understands_holds_up_no_other(database: Database) -> None:
    clock, paper = Clock(), Paper()
    await enqueue(database, clock, "video_1", "video_2")
    async with database.transaction() as session:
        newer = {"message_type": "OfANewerVersion"}
        await session.execute(update(OutboxRow).where(OutboxRow.message_id == "video_1:1").values(newer))
    assert await relay(database, paper, clock).publish_once() == 1
    assert paper.published == ["video_2:1"]
    assert await waiting_rows(database) == 1


async def test_a_row_that_a_dead_relay_had_claimed_is_published_after_its_claim(database: Database) -> None:
    clock, paper, begun = Clock(), Paper(), asyncio.Event()
    await enqueue(database, clock, "video_1")

    class Hanging:
        async def publish(self, subject: str, message: Message, *, msg_id: str | None) -> None:
            begun.set()
            await asyncio.Event().wait()

    dying = asyncio.create_task(relay(database, Hanging(), clock).publish_once())
    await begun.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)

    outbox = relay(database, paper, clock)
    assert await outbox.publish_once() == 0
    clock.time += timedelta(seconds=11)
    assert await outbox.publish_once() == 1
    assert paper.published == ["video_1:1"]


async def test_many_relays_publish_every_row_once(database: Database) -> None:
    clock, paper = Clock(), Paper()
    await enqueue(database, clock, *(f"video_{number:03}" for number in range(150)))
    relays = [relay(database, paper, clock) for _ in range(4)]

    async def empty(outbox: OutboxRelay) -> None:
        while await outbox.publish_once():
            pass

    await asyncio.gather(*(empty(outbox) for outbox in relays))
    assert sorted(map(str, paper.published)) == [f"video_{number:03}:1" for number in range(150)]


@pytest_asyncio.fixture
async def nats(nats_url: str) -> AsyncIterator[NatsConnection]:
    async with nats_connection(load_settings(NatsSettings, nats_url=SecretStr(nats_url)), "tests") as connection:
        yield connection


async def test_jetstream_keeps_a_repeated_row_once(sqlite_database: Database, nats: NatsConnection) -> None:
    clock = Clock()
    outbox = relay(sqlite_database, nats, clock)
    for _ in range(2):
        await enqueue(sqlite_database, clock, "video_1")
        assert await outbox.publish_once() == 1
    assert (await nats.js.stream_info(VIDEO_JOBS)).state.messages == 1
