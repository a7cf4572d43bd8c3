"""The settings of webhooks."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from flow2api_common.settings import Duration, OutboundSettings, SecretKeySettings
from flow2api_generation_service.webhooks.signing import is_signing_secret


def _check_url(url: str) -> str:
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        raise ValueError("must be an http or https URL")
    return url


def _check_secret(secret: SecretStr) -> SecretStr:
    if not is_signing_secret(secret.get_secret_value()):
        raise ValueError("must be whsec_ and base64 of 16 to 64 bytes, or 16 to 256 other characters")
    return secret


class WebhookSettings(OutboundSettings, SecretKeySettings):
    """Who is told how videos ended, and how insistently. Durations are seconds, or ISO 8601 such as ``PT5M``."""

    webhook_url: Annotated[str, AfterValidator(_check_url)] = ""
    """Default receiver of webhooks: is told of the videos of API keys that have registered none, when the job names
    none. It may be private."""
    webhook_secret: Annotated[SecretStr, AfterValidator(_check_secret)] | None = None
    """``whsec_…``: signs webhooks to ``webhook_url``, and to the ``webhook_url`` of a job that brings no secret."""
    allow_http_webhooks: bool = False
    """Whether receivers of webhooks that clients name may be reached over plain http."""
    webhook_connect_timeout: Duration = timedelta(seconds=5)
    """How long connecting to a receiver may take."""
    webhook_timeout: Duration = timedelta(seconds=10)
    """How long one attempt may take in all."""
    webhook_retry_window: Duration = timedelta(hours=24)
    """How long a delivery is tried."""
    webhook_first_pause: Duration = timedelta(seconds=5)
    """Pause after the first failed attempt; it triples with each further one."""
    webhook_longest_pause: Duration = timedelta(hours=4)
    """Longest pause between two attempts."""
    webhook_concurrency: int = Field(default=32, ge=1)
    """Attempts that one replica makes at the same time."""
    webhook_receiver_concurrency: int = Field(default=4, ge=1)
    """Attempts at one host and port that one replica makes at the same time."""
    webhook_interval: Duration = timedelta(seconds=1)
    """How often what is due is looked for."""
    webhook_retention: Duration = timedelta(days=30)
    """How long the ledger keeps finished deliveries."""

    @model_validator(mode="after")
    def _default_receiver_has_a_secret(self) -> Self:
        if self.webhook_url and self.webhook_secret is None:
            raise ValueError("FLOW2API_WEBHOOK_SECRET is required with FLOW2API_WEBHOOK_URL")
        return self
