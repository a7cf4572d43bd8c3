"""The tables of what administrators change while the service runs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base

_ROW_NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")


class SettingRow(Base):
    """One setting that differs from its default; see `SettingStore` for the names."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    actor: Mapped[str] = mapped_column(String(120), default="", server_default="")
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)


class SettingChangeRow(Base):
    """One change. ``before`` and ``after`` are None where the default was, or is."""

    __tablename__ = "setting_changes"

    change_id: Mapped[int] = mapped_column(_ROW_NUMBER, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(128))
    actor: Mapped[str] = mapped_column(String(120))
    before: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    after: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
