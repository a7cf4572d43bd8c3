"""The table of keys that are themselves sealed by the secret key."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import Base


class SealedKeyRow(Base):
    """A hash key. It tells a wrong secret key at the start, too: that one cannot open it."""

    __tablename__ = "sealed_keys"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
