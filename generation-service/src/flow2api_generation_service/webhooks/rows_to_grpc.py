"""From the tables of webhooks to flow2api.generation.v1."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from flow2api_generation_service.webhooks.ledger import PROTO_STATES
from flow2api_generation_service.webhooks.models import (
    DeliveryState,
    WebhookAttemptRow,
    WebhookDeliveryRow,
    WebhookEndpointRow,
)
from flow2api_proto.generation.v1 import webhook_service_pb2


def endpoint_to_grpc(row: WebhookEndpointRow) -> webhook_service_pb2.WebhookEndpoint:
    """A receiver, without its secret."""
    endpoint = webhook_service_pb2.WebhookEndpoint(
        webhook_endpoint_id=row.endpoint_id,
        api_key_id=row.api_key_id,
        name=row.name,
        url=row.url,
        event_types=row.event_types,
        signing_secret_hint=row.secret_hint,
        enabled=row.disabled_reason is None,
        disabled_reason=row.disabled_reason or "",
    )
    endpoint.create_time.FromDatetime(row.create_time)
    endpoint.update_time.FromDatetime(row.update_time)
    return endpoint


def delivery_to_grpc(row: WebhookDeliveryRow) -> webhook_service_pb2.WebhookDelivery:
    """A delivery, without its secret and the query of its URL."""
    delivery = webhook_service_pb2.WebhookDelivery(
        webhook_delivery_id=row.delivery_id,
        event_id=row.event_id,
        event_type=row.event_type,
        video_id=row.video_id,
        api_key_id=row.api_key_id,
        webhook_endpoint_id=row.endpoint_id or "",
        url=urlsplit(row.url)._replace(query="", fragment="").geturl(),
        state=PROTO_STATES[DeliveryState(row.state)],
        attempt_count=row.attempt_count,
        last_status_code=row.last_status_code or 0,
        last_error=row.last_error or "",
    )
    if row.last_duration_ms is not None:
        delivery.last_duration.FromTimedelta(timedelta(milliseconds=row.last_duration_ms))
    if row.next_attempt_time is not None:
        delivery.next_attempt_time.FromDatetime(row.next_attempt_time)
    delivery.give_up_time.FromDatetime(row.give_up_time)
    delivery.create_time.FromDatetime(row.create_time)
    if row.complete_time is not None:
        delivery.complete_time.FromDatetime(row.complete_time)
    return delivery


def attempt_to_grpc(row: WebhookAttemptRow) -> webhook_service_pb2.WebhookAttempt:
    """An attempt."""
    attempt = webhook_service_pb2.WebhookAttempt(
        number=row.number, status_code=row.status_code or 0, error=row.error or ""
    )
    attempt.attempt_time.FromDatetime(row.attempt_time)
    attempt.duration.FromTimedelta(timedelta(milliseconds=row.duration_ms))
    return attempt
