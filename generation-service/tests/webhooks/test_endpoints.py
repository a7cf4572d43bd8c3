"""Registering receivers: what is accepted, what is shown, and how secrets are exchanged."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from flow2api_common.errors import FailedPrecondition, InvalidArgument, NotFound
from flow2api_generation_service.webhooks.endpoints import MAX_ENDPOINTS
from flow2api_proto.generation.v1 import webhook_service_pb2

COMPLETED = ["video.completed"]
KEY = {"api_key_id": "key_1"}


def update(endpoint_id: str, **fields: Any) -> webhook_service_pb2.UpdateWebhookEndpointRequest:
    return webhook_service_pb2.UpdateWebhookEndpointRequest(
        webhook_endpoint=webhook_service_pb2.WebhookEndpoint(webhook_endpoint_id=endpoint_id, **fields),
        update_mask=FieldMask(paths=list(fields)),
        api_key_id="key_1",
    )


class TestCreate:
    @pytest.mark.parametrize(
        "url",
        [
            "http://example.com/hook",
            "https://127.0.0.1/hook",
            "https://10.1.2.3/",
            "https://[::1]:8443/",
            "https://user:pass@example.com/",
            "https://inside.example/",
            "ftp://example.com/",
            "nonsense",
            "",
        ],
    )
    async def test_refuses_an_address_that_may_not_be_reached(self, deliveries: Any, url: str) -> None:
        deliveries.names["inside.example"] = ["93.184.216.34", "192.168.1.1"]
        with pytest.raises(InvalidArgument) as caught:
            await deliveries.endpoints.create(
                webhook_service_pb2.CreateWebhookEndpointRequest(name="x", url=url, event_types=COMPLETED, **KEY)
            )
        assert [violation.field for violation in caught.value.violations] == ["url"]

    @pytest.mark.parametrize(
        ("field", "fields"),
        [("name", {"name": " "}), ("event_types", {"event_types": []}), ("event_types", {"event_types": ["a.b"]})],
    )
    async def test_names_what_is_wrong(
        self, deliveries: Any, receiver: Any, field: str, fields: dict[str, Any]
    ) -> None:
        values = {"name": "x", "url": receiver.url, "event_types": COMPLETED, **KEY} | fields
        with pytest.raises(InvalidArgument) as caught:
            await deliveries.endpoints.create(webhook_service_pb2.CreateWebhookEndpointRequest(**values))
        assert [violation.field for violation in caught.value.violations] == [field]

    async def test_a_key_has_only_so_many(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        for _ in range(MAX_ENDPOINTS):
            await make_endpoint(receiver.url, COMPLETED)
        with pytest.raises(FailedPrecondition) as caught:
            await make_endpoint(receiver.url, COMPLETED)
        assert caught.value.reason == "TOO_MANY_WEBHOOK_ENDPOINTS"
        await make_endpoint(receiver.url, COMPLETED, api_key_id="key_2")


class TestRead:
    async def test_another_keys_endpoint_is_not_there(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        row, _ = await make_endpoint(receiver.url, COMPLETED)
        with pytest.raises(NotFound):
            await deliveries.endpoints.get(row.endpoint_id, api_key_id="key_2")
        with pytest.raises(NotFound):
            await deliveries.endpoints.delete(row.endpoint_id, api_key_id="key_2")

    async def test_pages_newest_first(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        ids = [(await make_endpoint(receiver.url, COMPLETED))[0].endpoint_id for _ in range(3)]
        request = webhook_service_pb2.ListWebhookEndpointsRequest(page_size=2, **KEY)
        rows, token = await deliveries.endpoints.page(request)
        assert [row.endpoint_id for row in rows] == [ids[2], ids[1]]
        request.page_token = token
        rows, token = await deliveries.endpoints.page(request)
        assert ([row.endpoint_id for row in rows], token) == ([ids[0]], "")


class TestUpdate:
    async def test_what_waits_goes_to_the_new_url(
        self, deliveries: Any, receiver: Any, other_receiver: Any, make_endpoint: Any
    ) -> None:
        row, secret = await make_endpoint(receiver.url, COMPLETED)
        receiver.status = 410
        await deliveries.finish_job()
        receiver.status = 500
        await deliveries.round()
        changed = await deliveries.endpoints.update(update(row.endpoint_id, url=other_receiver.url, name="new"))
        assert (changed.url, changed.name, changed.event_types) == (other_receiver.url, "new", COMPLETED)
        deliveries.clock.pass_by(timedelta(minutes=1))
        await deliveries.round()
        assert len(other_receiver.unwrapped(secret)) == 1

    async def test_enables_again_what_was_gone(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        row, _ = await make_endpoint(receiver.url, COMPLETED)
        receiver.status = 410
        await deliveries.finish_job()
        await deliveries.round()
        receiver.status = 200
        enabled = await deliveries.endpoints.update(update(row.endpoint_id, enabled=True))
        assert enabled.disabled_reason is None
        await deliveries.finish_job()
        await deliveries.round()
        assert len(receiver.received) == 2

    @pytest.mark.parametrize(
        ("field", "fields"), [("url", {"url": "https://127.0.0.1/"}), ("api_key_id", {"api_key_id": "key_2"})]
    )
    async def test_refuses_what_cannot_be(
        self, deliveries: Any, receiver: Any, make_endpoint: Any, field: str, fields: dict[str, Any]
    ) -> None:
        row, _ = await make_endpoint(receiver.url, COMPLETED)
        with pytest.raises(InvalidArgument) as caught:
            await deliveries.endpoints.update(update(row.endpoint_id, **fields))
        assert [violation.field for violation in caught.value.violations] == [field]


class TestDelete:
    async def test_gives_up_what_waits(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        row, _ = await make_endpoint(receiver.url, COMPLETED)
        await deliveries.finish_job()
        await deliveries.fan_out.once()
        await deliveries.endpoints.delete(row.endpoint_id, **KEY)
        assert await deliveries.round() == 0
        assert receiver.received == []
        delivery = await deliveries.row()
        assert (delivery.state, delivery.last_error) == ("failed", "endpoint_disabled")
        with pytest.raises(FailedPrecondition) as caught:
            await deliveries.ledger.replay(delivery.delivery_id)
        assert caught.value.reason == "WEBHOOK_ENDPOINT_GONE"


class TestRotate:
    async def test_both_secrets_sign_while_the_old_one_is_kept(
        self, deliveries: Any, receiver: Any, make_endpoint: Any
    ) -> None:
        row, old = await make_endpoint(receiver.url, COMPLETED)
        _, new = await deliveries.endpoints.rotate_secret(row.endpoint_id, keep_old=timedelta(hours=24), **KEY)
        await deliveries.finish_job()
        await deliveries.round()
        assert receiver.unwrapped(old)[0].id == receiver.unwrapped(new)[0].id
        assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 2
        deliveries.clock.pass_by(timedelta(hours=25))
        await deliveries.finish_job()
        await deliveries.round()
        assert len(receiver.received[1].headers["webhook-signature"].split(" ")) == 1
        assert receiver.unwrapped(new)[1].type == "video.completed"

    async def test_the_old_one_ends_at_once_otherwise(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        row, old = await make_endpoint(receiver.url, COMPLETED)
        rotated, new = await deliveries.endpoints.rotate_secret(row.endpoint_id, keep_old=timedelta(0), **KEY)
        assert old != new
        assert rotated.secret_hint == f"…{new[-4:]}"
        await deliveries.finish_job()
        await deliveries.round()
        assert len(receiver.received[0].headers["webhook-signature"].split(" ")) == 1
        assert receiver.unwrapped(new)


class TestSample:
    async def test_tells_the_status_and_leaves_no_trace_in_the_ledger(
        self, deliveries: Any, receiver: Any, make_endpoint: Any
    ) -> None:
        row, secret = await make_endpoint(receiver.url, COMPLETED)
        receiver.status = 418
        status = await deliveries.endpoints.test(row.endpoint_id, event_type="video.failed", **KEY)
        assert status == 418
        assert receiver.unwrapped(secret)[0].type == "video.failed"
        assert list(await deliveries.rows()) == []

    async def test_says_when_nobody_answers(self, deliveries: Any, receiver: Any, make_endpoint: Any) -> None:
        deliveries.names["moving.example"] = ["93.184.216.34"]
        row, _ = await make_endpoint("https://moving.example/", COMPLETED)
        deliveries.names["moving.example"] = ["127.0.0.1"]
        with pytest.raises(FailedPrecondition) as caught:
            await deliveries.endpoints.test(row.endpoint_id, event_type="video.failed", **KEY)
        assert caught.value.reason == "WEBHOOK_NOT_REACHED"
