"""Receivers as endpoint objects of OpenAI. Source: docs/upstream/openai.md, section 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flow2api_proto.generation.v1 import webhook_service_pb2


def endpoint_object(endpoint: webhook_service_pb2.WebhookEndpoint, *, signing_secret: str = "") -> dict[str, Any]:
    """The endpoint; its secret only where it was just made. ``enabled`` and ``disabled_reason`` are ours."""
    document: dict[str, Any] = {
        "id": endpoint.webhook_endpoint_id,
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "created_at": endpoint.create_time.ToSeconds(),
        "updated_at": endpoint.update_time.ToSeconds(),
        "signing_secret_hint": endpoint.signing_secret_hint,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason or None,
    }
    if signing_secret:
        document["signing_secret"] = signing_secret
    return document


def endpoint_list(endpoints: Sequence[webhook_service_pb2.WebhookEndpoint], *, has_more: bool) -> dict[str, Any]:
    """One page; the SDK goes on after the last id."""
    return {
        "object": "list",
        "data": [endpoint_object(endpoint) for endpoint in endpoints],
        "first_id": endpoints[0].webhook_endpoint_id if endpoints else None,
        "last_id": endpoints[-1].webhook_endpoint_id if endpoints else None,
        "has_more": has_more,
    }
