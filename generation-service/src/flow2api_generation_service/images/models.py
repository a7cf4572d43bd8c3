"""The table of idempotency keys: what a repeated request gets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class IdempotencyKeyRow(Base):
    """A request that a client may repeat.

    While it runs, ``result`` is empty and ``claimed_until`` is moved on by the replica that runs it: when that time has
    passed, the replica is dead and a repeat runs it anew. ``result`` holds the last events as JSON.
    """

    __tablename__ = "idempotency_keys"

    api_key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    generation_id: Mapped[str] = mapped_column(String(64))
    result: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    claimed_until: Mapped[datetime] = mapped_column(UtcDateTime)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    expire_time: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
