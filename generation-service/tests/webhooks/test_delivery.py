"""From the event in the table to the receiver: signed, retried, shared, bounded, and never lost."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest

from flow2api_common.database import Database
from flow2api_common.settings import SettingsError, load_settings
from flow2api_generation_service.webhooks.delivery_repository import DeliveryRepository
from flow2api_generation_service.webhooks.schedule import RetrySchedule
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_proto.generation.v1 import webhook_service_pb2
from flow2api_testing.waiting import eventually

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
START = datetime(2026, 11, 23, tzinfo=UTC)


class TestOneDelivery:
    async def test_the_official_sdk_accepts_it(self, deliveries: Any, receiver: Any) -> None:
        event_id = await deliveries.finish_job(url=receiver.url)
        assert await deliveries.round() == 1
        (event,) = receiver.unwrapped()
        assert (event.id, event.type, event.data.id) == (event_id, "video.completed", "video_1")
        (request,) = receiver.received
        assert request.headers["webhook-id"] == event_id
        assert request.headers["content-type"] == "application/json"
        row = await deliveries.row()
        assert (row.state, row.attempt_count, row.last_status_code, row.next_attempt_time) == (
            "delivered",
            1,
            200,
            None,
        )

    async def test_the_official_sdk_refuses_a_changed_body_and_another_secret(
        self, deliveries: Any, receiver: Any
    ) -> None:
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        (request,) = receiver.received
        client = openai.OpenAI(api_key="unused")
        changed = request.body.replace(b"completed", b"fulfilled")
        for body, secret in ((changed, None), (request.body, "another-secret-0123456789")):
            with pytest.raises(openai.InvalidWebhookSignatureError):
                client.webhooks.unwrap(body, request.headers, secret=secret or "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY")

    async def test_a_plain_secret_signs_by_its_bytes(self, deliveries: Any, receiver: Any) -> None:
        await deliveries.finish_job(url=receiver.url, secret="plain-secret-with-ümlaut")
        await deliveries.round()
        assert receiver.unwrapped("plain-secret-with-ümlaut")[0].type == "video.completed"

    async def test_text_beyond_ascii_arrives_byte_for_byte(self, deliveries: Any, receiver: Any) -> None:
        await deliveries.finish_job(url=receiver.url, video_id="video_ü")
        await deliveries.round()
        assert receiver.unwrapped()[0].data.id == "video_ü"
        assert json.loads(receiver.received[0].body)["data"] == {"id": "video_ü"}


class TestWhoIsTold:
    async def test_the_endpoints_of_the_key_by_what_they_want(
        self, deliveries: Any, receiver: Any, other_receiver: Any, make_endpoint: Any
    ) -> None:
        _, secret = await make_endpoint(receiver.url, ["video.completed"])
        await make_endpoint(other_receiver.url, ["video.failed"])
        await make_endpoint(other_receiver.url, ["video.completed"], api_key_id="key_2")
        await deliveries.finish_job()
        await deliveries.round()
        assert [event.type for event in receiver.unwrapped(secret)] == ["video.completed"]
        assert other_receiver.received == []

    async def test_the_url_of_the_job_before_the_endpoints_of_its_key(
        self, deliveries: Any, receiver: Any, other_receiver: Any, make_endpoint: Any
    ) -> None:
        await make_endpoint(other_receiver.url, ["video.completed"])
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        assert (len(receiver.received), len(other_receiver.received)) == (1, 0)

    async def test_the_default_receiver_when_nobody_else_was_named(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        secret = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
        # It may be private without being on the list: the operator has said so.
        replica = make_deliveries(database, webhook_url=receiver.url, webhook_secret=secret, allow_private_hosts=())
        await replica.finish_job()
        await replica.round()
        assert receiver.unwrapped(secret)[0].data.id == "video_1"

    async def test_nobody(self, deliveries: Any) -> None:
        await deliveries.finish_job()
        assert await deliveries.round() == 0
        assert list(await deliveries.rows()) == []
        assert await deliveries.fan_out.once() == 0

    async def test_a_job_that_brings_no_secret_is_signed_with_that_of_the_installation(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        secret = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
        replica = make_deliveries(database, webhook_secret=secret)
        await replica.finish_job(url=receiver.url, secret="")
        await replica.round()
        assert receiver.unwrapped(secret)[0].data.id == "video_1"

    def test_a_default_receiver_needs_a_secret(self) -> None:
        with pytest.raises(SettingsError, match="FLOW2API_WEBHOOK_SECRET"):
            load_settings(WebhookSettings, secret_key="0123456789abcdef", webhook_url="https://hooks.example/x")


class TestRetries:
    async def test_goes_on_for_a_day_with_growing_pauses_and_one_webhook_id(
        self, deliveries: Any, receiver: Any
    ) -> None:
        receiver.status = 503
        event_id = await deliveries.finish_job(url=receiver.url)
        start, pauses = deliveries.clock.now, []
        while await deliveries.round():
            row = await deliveries.row()
            if row.next_attempt_time is not None:
                pauses.append(row.next_attempt_time - deliveries.clock.now)
                deliveries.clock.now = row.next_attempt_time
        assert pauses == sorted(pauses)
        assert pauses[0] == 5 * SECOND
        assert DAY - 5 * timedelta(hours=1) < deliveries.clock.now - start <= DAY
        assert {request.headers["webhook-id"] for request in receiver.received} == {event_id}
        row = await deliveries.row()
        assert (row.state, row.last_error, row.last_status_code) == ("failed", "status", 503)
        _, attempts = await deliveries.ledger.get(row.delivery_id)
        assert [attempt.number for attempt in attempts] == list(range(1, len(receiver.received) + 1))

    async def test_succeeds_when_the_receiver_is_back(self, deliveries: Any, receiver: Any) -> None:
        receiver.status = 500
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        receiver.status = 204
        assert await deliveries.round() == 0
        deliveries.clock.pass_by(6 * SECOND)
        assert await deliveries.round() == 1
        assert (await deliveries.row()).state == "delivered"
        first, second = receiver.received
        assert first.body == second.body

    @pytest.mark.parametrize("status", [301, 302, 307, 404])
    async def test_a_redirect_is_a_failure_and_not_followed(
        self, deliveries: Any, receiver: Any, other_receiver: Any, status: int
    ) -> None:
        receiver.status, receiver.extra_headers = status, f"location: {other_receiver.url}\r\n"
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        assert other_receiver.received == []
        row = await deliveries.row()
        assert (row.state, row.last_error, row.last_status_code) == ("pending", "status", status)

    async def test_waits_as_long_as_the_receiver_asks(self, deliveries: Any, receiver: Any) -> None:
        receiver.status, receiver.extra_headers = 429, "retry-after: 600\r\n"
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        row = await deliveries.row()
        assert row.next_attempt_time == deliveries.clock.now + timedelta(minutes=10)

    async def test_a_receiver_that_hangs_or_is_not_there_is_tried_again(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        replica = make_deliveries(database, webhook_timeout=0.1, allow_private_hosts=[receiver.host, "127.0.0.1:1"])
        receiver.gate = asyncio.Event()
        await replica.finish_job(url=receiver.url)
        await replica.finish_job(url="http://127.0.0.1:1/nobody")
        await replica.round()
        assert [(row.state, row.last_error) for row in await replica.rows()] == [
            ("pending", "timeout"),
            ("pending", "connect"),
        ]

    def test_pauses_are_spread_by_chance(self) -> None:
        def pause(chance: float) -> timedelta | None:
            schedule = RetrySchedule(10 * SECOND, DAY, lambda: chance)
            at = schedule.next_attempt(now=START, failures=1, give_up_time=START + DAY, retry_after=None)
            return at - START if at is not None else None

        assert (pause(0), pause(0.5), pause(1)) == (8 * SECOND, 10 * SECOND, 12 * SECOND)


class TestGone:
    async def test_410_disables_the_endpoint_and_gives_up_what_waits_for_it(
        self, deliveries: Any, receiver: Any, make_endpoint: Any
    ) -> None:
        endpoint, _ = await make_endpoint(receiver.url, ["video.completed"])
        receiver.status = 500
        await deliveries.finish_job(video_id="video_waiting")
        await deliveries.round()
        receiver.status = 410
        await deliveries.finish_job()
        await deliveries.round()
        assert [row.state for row in await deliveries.rows()] == ["failed", "failed"]
        disabled = await deliveries.endpoints.get(endpoint.endpoint_id, api_key_id="key_1")
        assert disabled.disabled_reason == "gone"
        await deliveries.finish_job()
        assert await deliveries.round() == 0


class TestSharing:
    async def test_many_replicas_deliver_each_once(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        first = make_deliveries(database)
        second = make_deliveries(database, clock=first.clock)
        for _ in range(12):
            await first.finish_job(url=receiver.url)
        while sum(await asyncio.gather(first.round(), second.round())):
            pass
        ids = [request.headers["webhook-id"] for request in receiver.received]
        assert len(ids) == 12
        assert len(set(ids)) == 12

    async def test_an_attempt_that_died_with_its_process_is_made_again(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        first = make_deliveries(database)
        receiver.gate = asyncio.Event()
        await first.finish_job(url=receiver.url)
        dying = asyncio.create_task(first.round())
        await eventually(lambda: receiver.received)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        receiver.gate.set()
        second = make_deliveries(database, clock=first.clock)
        assert await second.round() == 0
        first.clock.pass_by(timedelta(minutes=1))
        assert await second.round() == 1
        assert (await second.row()).state == "delivered"
        assert len({request.headers["webhook-id"] for request in receiver.received}) == 1

    async def test_a_late_result_of_a_lost_attempt_changes_nothing(
        self, database: Database, make_deliveries: Any, receiver: Any
    ) -> None:
        first = make_deliveries(database, webhook_timeout=30)
        receiver.gate = asyncio.Event()
        await first.finish_job(url=receiver.url)
        slow = asyncio.create_task(first.round())
        await eventually(lambda: receiver.received)
        first.clock.pass_by(timedelta(minutes=2))
        receiver.status = 500
        second = make_deliveries(database, clock=first.clock)
        again = asyncio.create_task(second.round())
        await eventually(lambda: len(receiver.received) == 2)
        receiver.gate.set()
        await asyncio.gather(slow, again)
        row = await second.row()
        assert row.attempt_count == 2
        _, attempts = await second.ledger.get(row.delivery_id)
        assert [attempt.number for attempt in attempts] == [2]

    async def test_a_slow_receiver_starves_nobody(
        self, database: Database, make_deliveries: Any, receiver: Any, other_receiver: Any
    ) -> None:
        replica = make_deliveries(database, webhook_timeout=30, webhook_concurrency=4, webhook_receiver_concurrency=2)
        receiver.gate = asyncio.Event()
        for _ in range(20):
            await replica.finish_job(url=receiver.url)
        await replica.finish_job(url=other_receiver.url)
        working = asyncio.create_task(replica.worker.run())
        try:
            await eventually(lambda: other_receiver.received)
            await eventually(lambda: len(receiver.received) == 2)
            receiver.gate.set()
            await eventually(lambda: len(receiver.received) == 20)
            assert receiver.most_open == 2
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


class TestAddresses:
    @pytest.mark.parametrize(
        "url", ["https://inside.example/x", "http://93.184.216.34/x", "https://[::1]/x", "https://169.254.169.254/"]
    )
    async def test_a_private_or_plain_address_is_never_connected(self, deliveries: Any, url: str) -> None:
        deliveries.names["inside.example"] = ["10.0.0.7"]
        await deliveries.finish_job(url=url)
        await deliveries.round()
        row = await deliveries.row()
        assert (row.state, row.last_error) == ("pending", "refused_address")

    async def test_a_name_is_checked_anew_for_each_delivery(
        self, deliveries: Any, receiver: Any, make_endpoint: Any
    ) -> None:
        name = f"moving.example:{receiver.port}"
        deliveries.names["moving.example"] = ["93.184.216.34"]
        await make_endpoint(f"https://{name}/hook", ["video.completed"])
        deliveries.names["moving.example"] = ["127.0.0.1"]
        await deliveries.finish_job()
        await deliveries.round()
        assert receiver.received == []
        assert (await deliveries.row()).last_error == "refused_address"


class TestLedger:
    async def test_a_replay_sends_the_same_event_again(self, deliveries: Any, receiver: Any) -> None:
        receiver.status = 400
        event_id = await deliveries.finish_job(url=receiver.url)
        while await deliveries.round():
            deliveries.clock.pass_by(timedelta(hours=5))
        failed = await deliveries.row()
        assert failed.state == "failed"
        receiver.status = 200
        replayed = await deliveries.ledger.replay(failed.delivery_id)
        assert (replayed.state, replayed.complete_time) == ("pending", None)
        await deliveries.round()
        assert (await deliveries.row()).state == "delivered"
        assert receiver.received[-1].headers["webhook-id"] == event_id
        assert receiver.unwrapped()[-1].id == event_id

    async def test_a_replay_that_fails_begins_with_a_short_pause_again(self, deliveries: Any, receiver: Any) -> None:
        receiver.status = 400
        await deliveries.finish_job(url=receiver.url)
        while await deliveries.round():
            deliveries.clock.pass_by(timedelta(hours=5))
        await deliveries.ledger.replay((await deliveries.row()).delivery_id)
        await deliveries.round()
        row = await deliveries.row()
        assert row.next_attempt_time == deliveries.clock.now + 5 * SECOND

    async def test_finished_deliveries_go_after_their_time(self, deliveries: Any, receiver: Any) -> None:
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        receiver.status = 500
        await deliveries.finish_job(url=receiver.url)
        await deliveries.round()
        deliveries.clock.pass_by(timedelta(days=31))
        await deliveries.ledger.delete_expired()
        assert [row.state for row in await deliveries.rows()] == ["pending"]

    async def test_secrets_are_sealed_in_the_tables(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        _, secret = await make_endpoint(receiver.url, ["video.completed"])
        await deliveries.finish_job()
        await deliveries.finish_job(url=receiver.url)
        await deliveries.fan_out.once()
        async with deliveries.database.transaction(read_only=True) as session:
            stored = [
                [str(value) for value in vars(row).values()]
                for row in await DeliveryRepository(session).page(limit=10, after_id="")
            ]
        endpoint = (await deliveries.endpoints.page(webhook_service_pb2.ListWebhookEndpointsRequest()))[0][0]
        everything = " ".join([value for row in stored for value in row] + [str(v) for v in vars(endpoint).values()])
        assert secret not in everything
        assert "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY" not in everything
