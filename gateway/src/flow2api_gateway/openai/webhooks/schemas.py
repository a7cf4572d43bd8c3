"""What clients send to register receivers. Source: docs/upstream/openai.md, section 9."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _WebhookRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")


class EndpointCreateRequest(_WebhookRequest):
    """Body of ``POST /v1/webhook_endpoints``."""

    name: str
    url: str
    event_types: list[str]


class EndpointUpdateRequest(_WebhookRequest):
    """Body of ``POST /v1/webhook_endpoints/{id}``; what is left out stays. ``enabled`` is ours."""

    name: str | None = None
    url: str | None = None
    event_types: list[str] | None = None
    enabled: bool | None = None


class SecretRotateRequest(_WebhookRequest):
    """Body of ``POST /v1/webhook_endpoints/{id}/rotate_secret``; may be left out."""

    keep_old_secret_active_for_24_hours: bool = False


class EndpointTestRequest(_WebhookRequest):
    """Body of ``POST /v1/webhook_endpoints/{id}/test``."""

    event_type: str
