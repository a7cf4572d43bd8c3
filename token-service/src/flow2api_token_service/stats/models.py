"""Which batches of counters SQL has; see `flow2api_token_service.stats.flush`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import Base


class StatsBatchRow(Base):
    """A batch that was written; its id is unique, so that it cannot be written twice."""

    __tablename__ = "stats_batches"
    __table_args__ = (Index(None, "written_at"),)

    batch_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    written_at: Mapped[datetime] = mapped_column(UtcDateTime)
