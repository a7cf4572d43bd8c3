"""The whole way over the real service: a job ends, and whoever was named is told."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from flow2api_common.errors import InvalidArgument
from flow2api_common.grpc_client import open_channel, rpc_errors
from flow2api_common.settings import load_settings
from flow2api_generation_service.composition import running_generation_service
from flow2api_generation_service.migrate import migrate
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_poller_service.composition import running_poller_service
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_proto.generation.v1 import (
    generation_service_pb2_grpc,
    video_pb2,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.waiting import eventually

JOB_SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


@pytest.fixture
def webhook_settings(generation_settings: GenerationServiceSettings, receiver: Any) -> GenerationServiceSettings:
    """Settings whose waits fit a test."""
    return generation_settings.model_copy(
        update={
            "allow_private_hosts": (receiver.host,),
            "webhook_interval": timedelta(milliseconds=50),
            "webhook_first_pause": timedelta(milliseconds=200),
            "video_capacity_retry": timedelta(milliseconds=100),
            "video_lease_wait": timedelta(seconds=1),
        }
    )


class Service:
    """A running service, spoken to over gRPC."""

    def __init__(self, channel: Any) -> None:
        self.videos = generation_service_pb2_grpc.GenerationServiceStub(channel)
        self.webhooks = webhook_service_pb2_grpc.WebhookServiceStub(channel)

    async def create(self, **fields: Any) -> Any:
        request = {"model_id": "veo_3_1_t2v_fast_landscape", "prompt": "waves", "api_key_id": "key_1"} | fields
        with rpc_errors("generation"):
            return await self.videos.CreateVideo(video_pb2.CreateVideoRequest(**request), timeout=30)

    async def delivered(self) -> list[Any]:
        answer = await self.webhooks.ListWebhookDeliveries(webhook_service_pb2.ListWebhookDeliveriesRequest())
        done = webhook_service_pb2.WEBHOOK_DELIVERY_STATE_DELIVERED
        return [each for each in answer.webhook_deliveries if each.state == done]


@pytest_asyncio.fixture
async def service(
    webhook_settings: GenerationServiceSettings, service_token: SecretStr, pool: Any
) -> AsyncIterator[Service]:
    """A service with one account that is busy, until a test frees it, and a poller."""
    await pool.add_flow("sandbox-st-1", limit=0)
    await migrate_by_copy(webhook_settings, migrate)
    shared = {
        name: getattr(webhook_settings, name)
        for name in PollerServiceSettings.model_fields
        if hasattr(webhook_settings, name)
    }
    poller = load_settings(PollerServiceSettings, **shared, video_poll_interval=0.2)
    async with running_generation_service(webhook_settings) as running, running_poller_service(poller):
        channel = open_channel(running.address, service_token=service_token)
        yield Service(channel)
        await channel.close()


async def test_a_completed_job_tells_its_url(service: Service, pool: Any, receiver: Any) -> None:
    pool.accounts[1].limit = 10
    answer = await service.create(webhook_url=receiver.url, webhook_secret=JOB_SECRET)
    assert answer.webhook_secret == ""
    await eventually(service.delivered, timeout=20)
    (event,) = receiver.unwrapped(JOB_SECRET)
    assert (event.type, event.data.id) == ("video.completed", answer.video.video_id)


async def test_a_cancelled_job_tells_that_it_failed_and_why(service: Service, receiver: Any) -> None:
    answer = await service.create(webhook_url=receiver.url)
    await service.videos.CancelVideo(video_pb2.CancelVideoRequest(video_id=answer.video.video_id))
    await eventually(service.delivered)
    # Nobody brought a secret: one was chosen and shown, the same for every job of the key.
    (event,) = receiver.unwrapped(answer.webhook_secret)
    assert (event.type, event.data.id) == ("video.failed", answer.video.video_id)
    assert event.data.error["code"] == "cancelled"
    again = await service.create(webhook_url=receiver.url)
    other = await service.create(webhook_url=receiver.url, api_key_id="key_2")
    assert again.webhook_secret == answer.webhook_secret != other.webhook_secret


async def test_a_job_deleted_while_it_ran_tells_the_registered_endpoints(service: Service, receiver: Any) -> None:
    registered = await service.webhooks.CreateWebhookEndpoint(
        webhook_service_pb2.CreateWebhookEndpointRequest(
            api_key_id="key_1", name="hook", url=receiver.url, event_types=["video.failed"]
        )
    )
    answer = await service.create()
    await service.videos.DeleteVideo(video_pb2.DeleteVideoRequest(video_id=answer.video.video_id))
    (delivery,) = await eventually(service.delivered)
    assert (delivery.video_id, delivery.attempt_count, delivery.last_status_code) == (answer.video.video_id, 1, 200)
    assert receiver.unwrapped(registered.signing_secret)[0].data.id == answer.video.video_id


async def test_the_ledger_shows_attempts_and_no_query_of_the_url(service: Service, receiver: Any) -> None:
    receiver.status = 500
    answer = await service.create(webhook_url=f"{receiver.url}?token=hidden")
    await service.videos.CancelVideo(video_pb2.CancelVideoRequest(video_id=answer.video.video_id))
    await eventually(lambda: len(receiver.received) >= 2)
    receiver.status = 200
    (delivery,) = await eventually(service.delivered)
    details = await service.webhooks.GetWebhookDelivery(
        webhook_service_pb2.GetWebhookDeliveryRequest(webhook_delivery_id=delivery.webhook_delivery_id)
    )
    assert [attempt.status_code for attempt in details.attempts][-1] == 200
    assert {attempt.status_code for attempt in details.attempts[:-1]} == {500}
    assert delivery.url == receiver.url
    assert details.payload.encode() == receiver.received[0].body
    replayed = len(receiver.received)
    await service.webhooks.ReplayWebhookDelivery(
        webhook_service_pb2.ReplayWebhookDeliveryRequest(webhook_delivery_id=delivery.webhook_delivery_id)
    )
    await eventually(lambda: len(receiver.received) == replayed + 1)


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("webhook_url", {"webhook_url": "https://127.0.0.1/hook"}),
        ("webhook_url", {"webhook_url": "http://example.com/hook"}),
        ("webhook_url", {"webhook_url": "https://169.254.169.254/latest"}),
        ("webhook_secret", {"webhook_url": "https://93.184.216.34/", "webhook_secret": "short"}),
        ("webhook_secret", {"webhook_secret": JOB_SECRET}),
    ],
)
async def test_creation_refuses_a_receiver_that_cannot_be(service: Service, field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await service.create(**fields)
    assert [violation.field for violation in caught.value.violations] == [field]


async def test_the_secret_of_a_job_is_sealed_and_no_part_of_what_a_repeat_is_recognised_by(
    service: Service, receiver: Any, sqlite_url: str
) -> None:
    fields = {"webhook_url": receiver.url, "request_id": "r1"}
    first = await service.create(**fields, webhook_secret=JOB_SECRET)
    again = await service.create(**fields, webhook_secret="another-secret-0123456789")
    assert again.video.video_id == first.video.video_id
    with sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///")) as connection:
        rows = connection.execute("select * from jobs").fetchall()
    connection.close()
    assert "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY" not in str(rows)
