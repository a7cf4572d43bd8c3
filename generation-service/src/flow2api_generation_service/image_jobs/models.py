"""The tables of image jobs: the job, its pictures, and the pictures that go into it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class ImageJobRow(Base):
    """One image job. Rows are read as snapshots; every change is a guarded statement (`transitions`).

    ``request`` is a serialized flow2api.generation.v1.GenerateImageRequest whose pictures are stored files and whose
    seed is set. ``attempt_id`` and ``claimed_until`` say which worker is at it, as long as it lives.
    """

    __tablename__ = "image_jobs"
    __table_args__ = (
        Index("ix_image_jobs_api_key_id_generation_id", "api_key_id", "generation_id"),
        Index("ix_image_jobs_state_deadline_time", "state", "deadline_time"),
    )

    generation_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(64))
    # The idempotency key as it is kept.
    request_id: Mapped[str | None] = mapped_column(String(256))
    model_id: Mapped[str] = mapped_column(String(128))
    served_model_id: Mapped[str] = mapped_column(String(128))
    request: Mapped[bytes] = mapped_column(LargeBinary)
    image_count: Mapped[int] = mapped_column(Integer)
    answer_options: Mapped[dict[str, str]] = mapped_column(JSON, default=dict)
    is_reserved: Mapped[bool] = mapped_column(default=False)
    typical_duration_seconds: Mapped[int] = mapped_column(Integer)

    state: Mapped[str] = mapped_column(String(16))
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    # The fields of flow2api.generation.v1.ImageJobError.
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    complete_time: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    deadline_time: Mapped[datetime] = mapped_column(UtcDateTime)

    attempt_id: Mapped[str | None] = mapped_column(String(64))
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Set while no account of the pool could ever serve it.
    no_account_since: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ImageJobPictureRow(Base):
    """One picture of a job. ``asked_time`` is set right before the call that costs something.

    ``result`` is the event that its reader gets, as JSON; ``error`` that of a failed one, as the job's.
    """

    __tablename__ = "image_job_pictures"

    generation_id: Mapped[str] = mapped_column(
        ForeignKey(ImageJobRow.generation_id, ondelete="CASCADE"), primary_key=True
    )
    image_index: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    attempt_id: Mapped[str | None] = mapped_column(String(64))
    asked_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    provider: Mapped[str | None] = mapped_column(String(32))
    upstream_model: Mapped[str | None] = mapped_column(String(128))
    # The most that it costs there.
    credits: Mapped[int] = mapped_column(BigInteger, default=0)
    micros: Mapped[int | None] = mapped_column(BigInteger)
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    media_id: Mapped[str | None] = mapped_column(String(64))


class ImageJobInputRow(Base):
    """One picture that goes into a job; the file itself is a media row."""

    __tablename__ = "image_job_inputs"

    generation_id: Mapped[str] = mapped_column(
        ForeignKey(ImageJobRow.generation_id, ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    media_id: Mapped[str] = mapped_column(String(64), index=True)
