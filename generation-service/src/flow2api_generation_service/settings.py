"""The settings of the generation service."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from flow2api_common.grpc_tls import GrpcClientTlsSettings, GrpcServerTlsSettings
from flow2api_common.settings import (
    BaseServiceSettings,
    DatabaseSettings,
    Duration,
    GenerationClientSettings,
    MediaSettings,
    NatsSettings,
    Pause,
    ServiceAuthSettings,
    TokenClientSettings,
)
from flow2api_generation_service.idempotency_keys import IdempotencySettings
from flow2api_generation_service.image_jobs.settings import ImageJobSettings
from flow2api_generation_service.ledger.settings import LedgerSettings
from flow2api_generation_service.videos.settings import VideoSettings
from flow2api_generation_service.webhooks.settings import WebhookSettings
from flow2api_upstream.settings import UpstreamSettings

_SHORTEST_LEASE: Final = timedelta(seconds=4)


def _long_enough_to_renew(duration: timedelta) -> timedelta:
    if duration < _SHORTEST_LEASE:
        raise ValueError("must be at least 4 seconds, because a lease is renewed at a quarter of it")
    return duration


class ImageSettings(IdempotencySettings):
    """How pictures are made. Durations are seconds, or ISO 8601 such as ``PT5M``."""

    image_token_wait: Pause = timedelta(seconds=120)
    """How long a picture waits for a token in all."""
    image_lease_duration: Annotated[Duration, AfterValidator(_long_enough_to_renew)] = timedelta(seconds=60)
    """Lifetime of a lease; it is renewed while the picture takes longer."""
    image_max_attempts: int = Field(default=3, ge=1, le=10)
    """How often a picture is asked for, on one token or several."""
    image_progress_interval: Duration = timedelta(seconds=2)
    """How often a picture that is being made tells its progress."""
    image_max_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest picture taken from the upstream."""


class MediaRetentionSettings(BaseServiceSettings):
    """What becomes of files."""

    media_retention: Duration = timedelta(days=7)
    """How long generated files are kept."""
    media_max_total_bytes: int | None = Field(default=None, ge=1)
    """Bytes that all files may take together; unset: any. Over it the oldest go before their time, except input
    pictures of videos that are not yet handed in, and files younger than ``FLOW2API_MEDIA_SIZE_GRACE``."""
    media_size_grace: Duration = timedelta(hours=1)
    """How long a file is safe from going because all take too much."""
    media_sweep_interval: Duration = timedelta(hours=6)
    """How often the whole media store is looked through for bytes that belong to nothing, and for lost ones."""
    media_orphan_grace: Duration = timedelta(days=1)
    """How old bytes that belong to nothing must be to be removed. Not less than news of a stored video may take."""
    upload_retention: Duration = timedelta(days=1)
    """How long uploaded input pictures are kept."""
    upload_max_bytes: int = Field(default=20 * 1024 * 1024, ge=1024)
    """Largest input picture."""
    upload_bytes_at_once: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Bytes of large input pictures that are in memory at a time, to be looked at and stored; further ones wait in
    temporary files (``TMPDIR``)."""
    request_log_retention: Duration = timedelta(days=30)
    """How long the request log is kept."""
    cleanup_interval: Duration = timedelta(minutes=5)
    """How often expired files, log entries and idempotency keys are removed."""


class GenerationServiceSettings(
    ImageSettings,
    ImageJobSettings,
    MediaRetentionSettings,
    VideoSettings,
    LedgerSettings,
    WebhookSettings,
    ServiceAuthSettings,
    GrpcServerTlsSettings,
    GrpcClientTlsSettings,
    TokenClientSettings,
    GenerationClientSettings,
    DatabaseSettings,
    NatsSettings,
    MediaSettings,
    UpstreamSettings,
):
    """Everything. ``generation_addr`` is where the service listens."""

    settings_interval: Duration = timedelta(seconds=0.5)
    """How often a replica looks whether settings or routes were changed on another one."""
    model_gone_pause: Duration = timedelta(days=1)
    """How long a route stays off whose model the upstream knows nowhere; then the next request tries it again."""
    shutdown_grace: Duration = timedelta(seconds=20)
    """How long calls and pictures in flight may go on after the stop signal."""
