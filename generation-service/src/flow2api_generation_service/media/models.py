"""The table of stored files; their bytes are in the media store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class MediaRow(Base):
    """One stored file."""

    __tablename__ = "media"
    __table_args__ = (Index("ix_media_create_time", "create_time"), Index("ix_media_derived_from", "derived_from"))

    media_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    object_key: Mapped[str] = mapped_column(String(256))
    content_type: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int] = mapped_column(Integer, default=0)
    height: Mapped[int] = mapped_column(Integer, default=0)
    duration_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    expire_time: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)

    # Whose it is; empty for nobody's in particular.
    api_key_id: Mapped[str] = mapped_column(String(64), default="")
    # The image generation or video job that made it; empty for uploads.
    generation_id: Mapped[str] = mapped_column(String(64), default="")
    # The file that it was made of, with which it goes, and what of it; empty for files of their own.
    derived_from: Mapped[str | None] = mapped_column(String(64))
    variant: Mapped[str] = mapped_column(String(32), default="")
    # The client's name of an upload, for people.
    file_name: Mapped[str] = mapped_column(Text, default="")
    # Where it also lives upstream: the provider, the token and the provider's own handle.
    provider: Mapped[str] = mapped_column(String(32), default="")
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    upstream_handle: Mapped[str | None] = mapped_column(Text)
