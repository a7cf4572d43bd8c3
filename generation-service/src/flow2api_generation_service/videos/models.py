"""The tables of video jobs: the job, its input pictures, and what still has to be published."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint, true
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base

_ROW_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows up by itself only in a column of exactly this type."""


class JobRow(Base):
    """One video job. Rows are read as snapshots; every change is one guarded statement of the repository."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("api_key_id", "request_id"),
        Index("ix_jobs_state_video_id", "state", "video_id"),
        Index("ix_jobs_api_key_id_video_id", "api_key_id", "video_id"),
        Index("ix_jobs_clip_sha256", "clip_sha256"),
    )

    # What was asked for.
    video_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(256))
    request_hash: Mapped[str] = mapped_column(String(64))
    model_id: Mapped[str] = mapped_column(String(128))
    prompt: Mapped[str] = mapped_column(Text)
    negative_prompt: Mapped[str] = mapped_column(Text, default="")
    # Where the upstream lets one choose; empty: as it does by itself.
    generate_audio: Mapped[bool] = mapped_column(default=True, server_default=true())
    person_generation: Mapped[str] = mapped_column(String(16), default="", server_default="")
    kind: Mapped[str] = mapped_column(String(32))
    aspect_ratio: Mapped[str] = mapped_column(String(16))
    duration_seconds: Mapped[int] = mapped_column(Integer)
    resolution: Mapped[str] = mapped_column(String(16))
    upscale_to: Mapped[str | None] = mapped_column(String(16))
    seed: Mapped[int] = mapped_column(BigInteger)
    source_video_id: Mapped[str | None] = mapped_column(String(64))
    client_metadata: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    webhook_url: Mapped[str] = mapped_column(Text, default="")
    sealed_webhook_secret: Mapped[str | None] = mapped_column(Text)
    typical_duration_seconds: Mapped[int] = mapped_column(Integer)
    upscale_typical_seconds: Mapped[int] = mapped_column(Integer, default=0)
    deadline_seconds: Mapped[int] = mapped_column(Integer)

    # Where it stands.
    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    stage: Mapped[int] = mapped_column(Integer, default=1)
    progress_percent: Mapped[int] = mapped_column(Integer, default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    state_time: Mapped[datetime] = mapped_column(UtcDateTime)
    submit_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    complete_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    has_client_deadline: Mapped[bool] = mapped_column(default=False)
    client_deadline_time: Mapped[datetime | None] = mapped_column(UtcDateTime)

    # Who hands it to the upstream. ``submit_started_at`` is set right before a call that costs something.
    # ``no_account_since`` is set while no account of the pool could ever serve the job.
    attempt_id: Mapped[str | None] = mapped_column(String(64))
    attempt_count: Mapped[int] = mapped_column(Integer, default=0)
    tried_token_ids: Mapped[list[int]] = mapped_column(JSON, default=list)
    submit_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    no_account_since: Mapped[datetime | None] = mapped_column(UtcDateTime)

    # How long such clips took when it was handed in: what it is polled by, and its progress estimated by.
    duration_quantiles_ms: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    upscale_quantiles_ms: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))

    # Where it runs. The lease is a serialized flow2api.tokens.v1.Lease; handles are opaque texts of the provider.
    provider: Mapped[str | None] = mapped_column(String(32))
    upstream_model: Mapped[str | None] = mapped_column(String(128))
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    lease: Mapped[bytes | None] = mapped_column(LargeBinary)
    upsampler_model: Mapped[str | None] = mapped_column(String(128))
    credits: Mapped[int | None] = mapped_column(BigInteger)
    micros: Mapped[int | None] = mapped_column(BigInteger)
    remaining_credits: Mapped[int | None] = mapped_column(BigInteger)
    # What the upstream has counted for it; None where it counts nothing.
    input_tokens: Mapped[int | None] = mapped_column(BigInteger)
    input_text_tokens: Mapped[int | None] = mapped_column(BigInteger)
    input_image_tokens: Mapped[int | None] = mapped_column(BigInteger)
    input_video_tokens: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens: Mapped[int | None] = mapped_column(BigInteger)
    thought_tokens: Mapped[int | None] = mapped_column(BigInteger)
    operation_handle: Mapped[str | None] = mapped_column(Text)
    operation_name: Mapped[str | None] = mapped_column(Text)

    # What came of it. The base clip is the one that is being enlarged.
    base_operation_handle: Mapped[str | None] = mapped_column(Text)
    base_result_handle: Mapped[str | None] = mapped_column(Text)
    result_handle: Mapped[str | None] = mapped_column(Text)
    media_id: Mapped[str | None] = mapped_column(String(64))
    # In hexadecimal; by it a client's copy of the clip is recognised.
    clip_sha256: Mapped[str | None] = mapped_column(String(64))


class JobInputImageRow(Base):
    """One input picture of a job; the file itself is a media row."""

    __tablename__ = "job_input_images"

    video_id: Mapped[str] = mapped_column(ForeignKey(JobRow.video_id, ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    media_id: Mapped[str] = mapped_column(String(64))
    role: Mapped[int] = mapped_column(Integer)


class OutboxRow(Base):
    """One message that was decided in a transaction and is not yet on JetStream. Deleted once JetStream has it."""

    __tablename__ = "outbox"

    outbox_id: Mapped[int] = mapped_column(_ROW_NUMBER, primary_key=True, autoincrement=True)
    subject: Mapped[str] = mapped_column(String(128))
    message_id: Mapped[str] = mapped_column(String(128))
    message_type: Mapped[str] = mapped_column(String(64))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    # Request id and trace context of whoever decided it.
    headers: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
