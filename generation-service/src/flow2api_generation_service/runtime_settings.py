"""The table of settings that administrators change while the service runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class SettingRow(Base):
    """One setting that differs from its default."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)
