"""The tables of the request log: one row per generation, and sums per day that outlive them."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class RequestLogRow(Base):
    """One generation. ``outcome`` is `ok`, or the reason of the error."""

    __tablename__ = "request_logs"
    __table_args__ = (Index("ix_request_logs_create_time_generation_id", "create_time", "generation_id"),)

    generation_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    operation: Mapped[str] = mapped_column(String(16))
    model_id: Mapped[str] = mapped_column(String(128))
    api_key_id: Mapped[str] = mapped_column(String(64))
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(64))
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    output_count: Mapped[int] = mapped_column(Integer)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)


class DailyStatsRow(Base):
    """What was made on one day, by UTC."""

    __tablename__ = "daily_stats"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    image_count: Mapped[int] = mapped_column(BigInteger, default=0)
    image_error_count: Mapped[int] = mapped_column(BigInteger, default=0)
