"""Publishing and pulling over a real JetStream server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import structlog
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.nats_client import Delivery, NatsConnection, PullConsumer, PullWorker, nats_connection
from flow2api_common.nats_streams import VIDEO_EVENTS, VIDEO_JOBS, StreamLimits
from flow2api_common.request_context import current_request_id
from flow2api_testing.waiting import eventually

ACK_WAIT = timedelta(seconds=5)


def text_of(delivery: Delivery) -> str:
    return StringValue.FromString(delivery.data).value


async def publish(connection: NatsConnection, *texts: str, subject: str = "video.submit.flow") -> None:
    for text in texts:
        await connection.publish(subject, StringValue(value=text), msg_id=f"{subject}-{text}")


@asynccontextmanager
async def working(connection: NatsConnection, handler: Callable[[Delivery], Any], **options: Any) -> AsyncIterator[Any]:
    """A worker that runs for the length of the block."""
    worker = PullWorker(
        connection=connection,
        stream=VIDEO_JOBS,
        durable="submit",
        filter_subjects=["video.submit.>"],
        handler=handler,
        **{"max_in_flight": 8, "ack_wait": ACK_WAIT, "retry_delay": timedelta(milliseconds=10), **options},
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def consumer(nats: NatsConnection) -> AsyncIterator[PullConsumer]:
    consumer = PullConsumer(
        connection=nats, stream=VIDEO_JOBS, durable="poll", filter_subjects=["video.poll.>"], ack_wait=ACK_WAIT
    )
    yield consumer
    await consumer.aclose()


async def pending_count(connection: NatsConnection) -> int:
    return (await connection.js.stream_info(VIDEO_JOBS)).state.messages


class TestStreams:
    async def test_they_are_durable_and_of_the_right_kind(self, nats: NatsConnection) -> None:
        jobs = (await nats.js.stream_info(VIDEO_JOBS)).config
        events = (await nats.js.stream_info(VIDEO_EVENTS)).config
        assert (jobs.retention, jobs.storage) == ("workqueue", "file")
        assert (events.retention, events.storage, events.max_age) == ("limits", "file", 24 * 3600)

    async def test_creating_them_again_changes_nothing(self, nats: NatsConnection) -> None:
        await publish(nats, "kept")
        await nats.ensure_streams()
        assert await pending_count(nats) == 1

    async def test_a_changed_limit_is_corrected(self, nats: NatsConnection) -> None:
        await nats.ensure_streams(StreamLimits(events_max_age=timedelta(hours=1)))
        assert (await nats.js.stream_info(VIDEO_EVENTS)).config.max_age == 3600

    async def test_a_missing_stream_is_created_by_publishing(self, nats: NatsConnection) -> None:
        await nats.js.delete_stream(VIDEO_JOBS)
        await publish(nats, "first")
        assert await pending_count(nats) == 1


class TestPublish:
    async def test_the_same_message_id_is_stored_once(self, nats: NatsConnection) -> None:
        await publish(nats, "same", "same")
        assert await pending_count(nats) == 1

    async def test_without_an_id_each_is_stored(self, nats: NatsConnection) -> None:
        for _ in range(2):
            await nats.publish("video.submit.flow", StringValue(value="same"), msg_id=None)
        assert await pending_count(nats) == 2

    async def test_the_request_id_travels(self, nats: NatsConnection, consumer: PullConsumer) -> None:
        with structlog.contextvars.bound_contextvars(request_id="req_42"):
            await publish(nats, "x", subject="video.poll.flow")
        (delivery,) = await consumer.fetch(10, timedelta(seconds=10))
        assert delivery.headers["x-request-id"] == "req_42"
        await delivery.ack()

    async def test_an_absent_server_is_a_dependency_unavailable(
        self, nats_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("flow2api_common.nats_connection._PUBLISH_TIMEOUT", timedelta(milliseconds=50))
        async with nats_connection(nats_server.settings, "test") as connection:
            assert not connection.is_connected
            with pytest.raises(DependencyUnavailable):
                await publish(connection, "x")
            with pytest.raises(DependencyUnavailable):
                await connection.ping()


class TestFetch:
    async def test_gives_what_there_is_at_once(self, nats: NatsConnection, consumer: PullConsumer) -> None:
        await publish(nats, "a", "b", "c", subject="video.poll.flow")
        seen: list[str] = []
        while len(seen) < 3:
            deliveries = await consumer.fetch(100, timedelta(seconds=10))
            seen += [text_of(delivery) for delivery in deliveries]
            for delivery in deliveries:
                await delivery.ack()
        assert seen == ["a", "b", "c"]
        await eventually(lambda: _is_empty(nats))

    async def test_gives_no_more_than_asked_for(self, nats: NatsConnection, consumer: PullConsumer) -> None:
        await publish(nats, *"abcde", subject="video.poll.flow")
        assert len(await consumer.fetch(2, timedelta(seconds=10))) <= 2

    async def test_gives_nothing_when_nothing_comes(self, consumer: PullConsumer) -> None:
        assert await consumer.fetch(10, timedelta(milliseconds=100)) == []

    async def test_a_message_published_while_waiting_arrives(
        self, nats: NatsConnection, consumer: PullConsumer
    ) -> None:
        waiting = asyncio.create_task(consumer.fetch(10, timedelta(seconds=30)))
        await eventually(lambda: _has_consumer(nats, "poll"))
        await publish(nats, "late", subject="video.poll.flow")
        (delivery,) = await waiting
        assert text_of(delivery) == "late"

    async def test_a_delayed_message_comes_again_counted(self, nats: NatsConnection, consumer: PullConsumer) -> None:
        await publish(nats, "again", subject="video.poll.flow")
        (first,) = await consumer.fetch(1, timedelta(seconds=10))
        await first.nak(timedelta(milliseconds=50))
        (second,) = await consumer.fetch(1, timedelta(seconds=10))
        assert (first.delivery_count, second.delivery_count) == (1, 2)
        assert first.stream_sequence == second.stream_sequence

    async def test_a_deleted_consumer_is_made_again(self, nats: NatsConnection, consumer: PullConsumer) -> None:
        assert await consumer.fetch(1, timedelta(milliseconds=100)) == []
        await nats.js.delete_consumer(VIDEO_JOBS, "poll")
        await publish(nats, "after", subject="video.poll.flow")
        (delivery,) = await consumer.fetch(1, timedelta(seconds=10))
        assert text_of(delivery) == "after"

    async def test_closing_gives_back_what_was_not_fetched(self, nats: NatsConnection) -> None:
        def make() -> PullConsumer:
            return PullConsumer(
                connection=nats,
                stream=VIDEO_JOBS,
                durable="poll",
                filter_subjects=["video.poll.>"],
                ack_wait=timedelta(hours=1),
            )

        for number in range(10):
            # Some are on their way when it closes.
            texts = {f"{number}-{each}" for each in range(30)}
            publishing = asyncio.create_task(publish(nats, *texts, subject="video.poll.flow"))
            closing, other = make(), make()
            fetched = await closing.fetch(30, timedelta(seconds=10))
            await closing.aclose()
            async with asyncio.timeout(20):
                while len(fetched) < len(texts):
                    fetched += await other.fetch(30, timedelta(seconds=10))
            assert {text_of(delivery) for delivery in fetched} == texts
            for delivery in fetched:
                await delivery.ack()
            await other.aclose()
            await publishing


class TestWorker:
    async def test_handles_and_acknowledges_everything(self, nats: NatsConnection) -> None:
        seen: list[str] = []

        async def handle(delivery: Delivery) -> None:
            seen.append(text_of(delivery))

        texts = [str(number) for number in range(50)]
        async with working(nats, handle):
            await publish(nats, *texts)
            await eventually(lambda: _is_empty(nats))
        assert sorted(seen, key=int) == texts

    async def test_never_handles_more_at_once_than_allowed(self, nats: NatsConnection) -> None:
        running: set[str] = set()
        most = 0
        gate = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            nonlocal most
            running.add(text_of(delivery))
            most = max(most, len(running))
            await gate.wait()
            running.discard(text_of(delivery))

        await publish(nats, *map(str, range(10)))
        async with working(nats, handle, max_in_flight=3):
            await eventually(lambda: len(running) == 3)
            gate.set()
            await eventually(lambda: _is_empty(nats))
        assert most == 3

    async def test_a_failing_message_comes_again_and_is_logged(self, nats: NatsConnection) -> None:
        attempts: Counter[str] = Counter()

        async def handle(delivery: Delivery) -> None:
            attempts[text_of(delivery)] += 1
            if text_of(delivery) == "bad" and attempts["bad"] < 3:
                raise ValueError("not yet")

        with capture_logs() as entries:
            async with working(nats, handle):
                await publish(nats, "bad", "good")
                await eventually(lambda: _is_empty(nats))
        assert attempts == {"bad": 3, "good": 1}
        delays = [entry["retry_after_seconds"] for entry in entries if entry["event"] == "delivery_failed"]
        assert len(delays) == 2
        assert delays[1] > delays[0]

    async def test_a_peer_that_is_away_is_waited_for_without_a_traceback(self, nats: NatsConnection) -> None:
        failures = iter([DependencyUnavailable("The token service cannot be reached.")])

        async def handle(delivery: Delivery) -> None:
            for failure in failures:
                raise failure

        with capture_logs() as entries:
            async with working(nats, handle):
                await publish(nats, "one")
                await eventually(lambda: _is_empty(nats))
        waits = [entry for entry in entries if entry["event"] == "delivery_waits"]
        assert [(each["log_level"], each["error"]) for each in waits] == [
            ("warning", "The token service cannot be reached.")
        ]
        assert "exc_info" not in waits[0]

    async def test_poison_is_terminated_and_visible(self, nats: NatsConnection) -> None:
        async def handle(delivery: Delivery) -> None:
            raise ValueError("never")

        with capture_logs() as entries:
            async with working(nats, handle, max_deliver=2):
                await publish(nats, "poison")
                await eventually(lambda: _is_empty(nats))
        (terminated,) = [entry for entry in entries if entry["event"] == "delivery_terminated"]
        assert terminated["delivery_count"] == 2
        assert terminated["log_level"] == "error"

    async def test_a_long_handler_keeps_its_message(self, nats: NatsConnection) -> None:
        """The server delivers again after the ack wait, unless told that the work goes on."""
        handled: Counter[int] = Counter()
        release = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            handled[delivery.stream_sequence] += 1
            if text_of(delivery) == "long":
                await release.wait()

        await publish(nats, "long")
        async with working(nats, handle, ack_wait=timedelta(milliseconds=600)):
            await eventually(lambda: len(handled) == 1)
            # A message that is given up on is delivered after its ack wait; it tells that the time has passed.
            other = PullConsumer(
                connection=nats,
                stream=VIDEO_JOBS,
                durable="poll",
                filter_subjects=["video.poll.>"],
                ack_wait=timedelta(milliseconds=1300),
            )
            await publish(nats, "abandoned", subject="video.poll.flow")
            counts: list[int] = []
            while counts != [1, 2]:
                counts += [delivery.delivery_count for delivery in await other.fetch(1, timedelta(seconds=5))]
            await other.aclose()
            release.set()
            await eventually(lambda: _is_settled(nats, "submit"))
        assert list(handled.values()) == [1]

    async def test_a_cancelled_handlers_message_goes_to_another_worker_at_once(self, nats: NatsConnection) -> None:
        started, done = asyncio.Event(), asyncio.Event()

        async def hang(delivery: Delivery) -> None:
            started.set()
            await asyncio.Event().wait()

        async def finish(delivery: Delivery) -> None:
            done.set()

        await publish(nats, "moved")
        async with working(nats, hang, ack_wait=timedelta(hours=1)):
            await started.wait()
        async with working(nats, finish, ack_wait=timedelta(hours=1)):
            await asyncio.wait_for(done.wait(), 10)

    async def test_asked_to_stop_it_finishes_what_is_under_way(self, nats: NatsConnection) -> None:
        started, release = asyncio.Event(), asyncio.Event()
        finished: list[str] = []

        async def handle(delivery: Delivery) -> None:
            started.set()
            await release.wait()
            finished.append(text_of(delivery))

        await publish(nats, "under-way")
        worker = PullWorker(
            connection=nats,
            stream=VIDEO_JOBS,
            durable="submit",
            filter_subjects=["video.submit.>"],
            handler=handle,
            max_in_flight=1,
            ack_wait=ACK_WAIT,
        )
        running = asyncio.create_task(worker.run())
        await started.wait()
        worker.request_stop()
        release.set()
        await asyncio.wait_for(running, 10)
        assert finished == ["under-way"]

    async def test_the_handler_works_in_the_request_of_the_message(self, nats: NatsConnection) -> None:
        seen: list[str | None] = []

        async def handle(delivery: Delivery) -> None:
            seen.append(current_request_id())

        with structlog.contextvars.bound_contextvars(request_id="req_7"):
            await publish(nats, "x")
        async with working(nats, handle):
            await eventually(lambda: seen == ["req_7"])


class TestStop:
    async def test_ends_at_whatever_step_of_connecting(self, nats: NatsConnection, nats_server: Any) -> None:
        for step in range(100):
            async with asyncio.timeout(4), nats_connection(nats_server.settings, "test"):
                for _ in range(step):
                    await asyncio.sleep(0)

    async def test_a_worker_ends_at_whatever_step_of_its_start(self, nats: NatsConnection) -> None:
        async def handle(delivery: Delivery) -> None:
            raise AssertionError(delivery)

        await nats.ensure_streams()
        for step in range(100):
            async with asyncio.timeout(4), working(nats, handle):
                for _ in range(step):
                    await asyncio.sleep(0)


class TestRestart:
    async def test_work_goes_on_after_the_server_was_killed(self, nats: NatsConnection, nats_server: Any) -> None:
        seen: set[str] = set()

        async def handle(delivery: Delivery) -> None:
            seen.add(text_of(delivery))

        async with working(nats, handle):
            await publish(nats, "before")
            await eventually(lambda: seen == {"before"})
            nats_server.kill()
            await eventually(lambda: not nats.is_connected)
            nats_server.start()
            await eventually(lambda: nats.is_connected)
            await publish(nats, "after")
            await eventually(lambda: seen == {"before", "after"})

    async def test_stored_messages_survive_the_kill(self, nats: NatsConnection, nats_server: Any) -> None:
        seen: set[str] = set()

        async def handle(delivery: Delivery) -> None:
            seen.add(text_of(delivery))

        texts = {str(number) for number in range(20)}
        await publish(nats, *texts)
        nats_server.kill()
        nats_server.start()
        async with working(nats, handle):
            await eventually(lambda: seen == texts, timeout=20)

    async def test_a_worker_started_before_its_server_works_when_it_comes(self, nats_server: Any) -> None:
        seen: set[str] = set()

        async def handle(delivery: Delivery) -> None:
            seen.add(text_of(delivery))

        async with nats_connection(nats_server.settings, "test") as connection, working(connection, handle):
            nats_server.start()
            await eventually(lambda: connection.is_connected)
            await publish(connection, "first")
            await eventually(lambda: seen == {"first"})
            await connection.ping()

    async def test_a_store_that_was_lost_is_set_up_again(self, nats: NatsConnection, nats_server: Any) -> None:
        seen: set[str] = set()

        async def handle(delivery: Delivery) -> None:
            seen.add(text_of(delivery))

        async with working(nats, handle):
            await eventually(lambda: _has_consumer(nats, "submit"))
            nats_server.kill()
            nats_server.forget()
            nats_server.start()
            await eventually(lambda: nats.is_connected)
            await publish(nats, "anew")
            await eventually(lambda: seen == {"anew"})


async def _is_empty(connection: NatsConnection) -> bool:
    return await pending_count(connection) == 0


async def _has_consumer(connection: NatsConnection, durable: str) -> bool:
    return durable in [info.name for info in await connection.js.consumers_info(VIDEO_JOBS)]


async def _is_settled(connection: NatsConnection, durable: str) -> bool:
    info = await connection.js.consumer_info(VIDEO_JOBS, durable)
    return info.num_ack_pending == 0 and info.num_pending == 0
