"""The tables of webhooks: registered receivers, events not yet fanned out, deliveries and their attempts."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class EventType(StrEnum):
    """What is told. Source: docs/upstream/openai.md, section 9."""

    COMPLETED = "video.completed"
    FAILED = "video.failed"
    # Ours: OpenAI has no image jobs.
    IMAGE_JOB_COMPLETED = "image_job.completed"
    IMAGE_JOB_FAILED = "image_job.failed"


class DeliveryState(StrEnum):
    """Where a delivery stands; the values are those of the database."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class ReceiverKind(StrEnum):
    """Whose receiver it is; that decides what is signed with."""

    JOB = "job"
    ENDPOINT = "endpoint"
    DEFAULT = "default"


class WebhookEndpointRow(Base):
    """A receiver that an API key has registered."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_api_key_id_endpoint_id", "api_key_id", "endpoint_id"),)

    endpoint_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str]] = mapped_column(JSON)
    sealed_secret: Mapped[str] = mapped_column(Text)
    secret_hint: Mapped[str] = mapped_column(String(16))
    # While it is kept, deliveries carry a signature by it too.
    sealed_old_secret: Mapped[str | None] = mapped_column(Text)
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_reason: Mapped[str | None] = mapped_column(String(32))
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookEventRow(Base):
    """An event, written in the transaction that made it true; deleted in the one that writes its deliveries."""

    __tablename__ = "webhook_events"

    event_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_type: Mapped[str] = mapped_column(String(32))
    # Of a video or of an image job.
    video_id: Mapped[str] = mapped_column(String(64))
    api_key_id: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    # What the job itself said.
    webhook_url: Mapped[str] = mapped_column(Text)
    sealed_webhook_secret: Mapped[str | None] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)


class WebhookDeliveryRow(Base):
    """One event on its way to one receiver, and afterwards the record of it."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_state_next_attempt_time", "state", "next_attempt_time"),
        Index("ix_webhook_deliveries_endpoint_id_state", "endpoint_id", "state"),
        Index("ix_webhook_deliveries_complete_time", "complete_time"),
        Index("ix_webhook_deliveries_video_id", "video_id"),
    )

    delivery_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(64))
    event_type: Mapped[str] = mapped_column(String(32))
    video_id: Mapped[str] = mapped_column(String(64))
    api_key_id: Mapped[str] = mapped_column(String(64))
    payload: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16))
    endpoint_id: Mapped[str | None] = mapped_column(String(64))
    url: Mapped[str] = mapped_column(Text)
    # ``scheme://host:port``: what shares one limit on concurrent deliveries.
    receiver: Mapped[str] = mapped_column(String(300))
    sealed_secret: Mapped[str | None] = mapped_column(Text)

    state: Mapped[str] = mapped_column(String(16))
    # Rises when an attempt begins; its result counts only while this is still its number.
    attempt_count: Mapped[int] = mapped_column(Integer, default=0)
    # While an attempt is under way: when it counts as lost.
    next_attempt_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Attempts of before a replay do not lengthen the pauses after it.
    replayed_at_count: Mapped[int] = mapped_column(Integer, default=0)
    give_up_time: Mapped[datetime] = mapped_column(UtcDateTime)
    last_status_code: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(String(32))
    last_duration_ms: Mapped[int | None] = mapped_column(Integer)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    complete_time: Mapped[datetime | None] = mapped_column(UtcDateTime)


class WebhookAttemptRow(Base):
    """One attempt that came to an end. One that died with its process has none."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[str] = mapped_column(
        ForeignKey(WebhookDeliveryRow.delivery_id, ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    attempt_time: Mapped[datetime] = mapped_column(UtcDateTime)
    status_code: Mapped[int | None] = mapped_column(Integer)
    error: Mapped[str | None] = mapped_column(String(32))
    duration_ms: Mapped[int] = mapped_column(Integer)
