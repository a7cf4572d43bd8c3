"""The table of learned durations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class VideoDurationRow(Base):
    """How long clips of one series took lately; ``weights`` is a list of pairs of bucket and weight."""

    __tablename__ = "video_durations"

    series: Mapped[str] = mapped_column(String(256), primary_key=True)
    weights: Mapped[list[tuple[int, float]]] = mapped_column(JSON, default=list)
    clip_count: Mapped[int] = mapped_column(BigInteger, default=0)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)
