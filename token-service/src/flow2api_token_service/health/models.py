"""The table of what has happened to the health of tokens."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import BIG_ID, Base


class TokenEventRow(Base):
    """One change. It stays when its token is removed, until retention takes it."""

    __tablename__ = "token_events"
    __table_args__ = (Index(None, "token_id", "id"), Index(None, "event_time"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    token_id: Mapped[int] = mapped_column(BigInteger)
    event_time: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(120))
    cause: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(String(200), default="")
    state_before: Mapped[str] = mapped_column(String(16), default="")
    state_after: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(200), default="")
    until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    upstream_model: Mapped[str] = mapped_column(String(200), default="")
    consecutive_error_count: Mapped[int] = mapped_column(default=0)
