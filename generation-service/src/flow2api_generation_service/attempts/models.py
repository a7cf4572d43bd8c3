"""The table of attempts, which is a part of the request log."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class AttemptRow(Base):
    """One call, or try of one, on one account; ``end_time`` is null while it is under way.

    ``line`` names the part of the generation, as in the ledger. Repeats on the same account share the ``attempt_id``.
    ``passed_by`` are the routes before this one that had no account free then, and why: see ``passed_route.py``.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_generation_id", "generation_id"),
        Index("ix_attempts_start_time", "start_time"),
    )

    attempt_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    try_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    generation_id: Mapped[str] = mapped_column(String(64))
    line: Mapped[str] = mapped_column(String(32))
    provider: Mapped[str] = mapped_column(String(32))
    upstream_model: Mapped[str] = mapped_column(String(128))
    token_id: Mapped[int] = mapped_column(BigInteger)
    location: Mapped[str] = mapped_column(String(64))
    passed_by: Mapped[list[Any]] = mapped_column(JSON)
    outcome: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(String(200))
    next_step: Mapped[str] = mapped_column(String(32))
    start_time: Mapped[datetime] = mapped_column(UtcDateTime)
    end_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
