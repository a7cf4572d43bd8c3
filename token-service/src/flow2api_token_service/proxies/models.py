"""The table of proxies."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import BIG_ID, Base
from flow2api_token_service.proxies.states import ProxyHealth, ProxyState


class ProxyRow(Base):
    """One proxy. Its address is sealed by the vault; scheme, host and port stand beside it for people."""

    __tablename__ = "proxies"
    __table_args__ = (
        UniqueConstraint("url_fingerprint"),
        Index(None, "next_check_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    sealed_url: Mapped[str] = mapped_column("url", Text)
    url_fingerprint: Mapped[str] = mapped_column(String(64))
    scheme: Mapped[str] = mapped_column(String(8))
    host: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    has_credentials: Mapped[bool]
    name: Mapped[str] = mapped_column(String(100), default="")
    remark: Mapped[str] = mapped_column(Text, default="")
    enabled: Mapped[bool] = mapped_column(default=True)

    state: Mapped[str] = mapped_column(String(16))
    state_reason: Mapped[str] = mapped_column(String(200), default="")
    state_time: Mapped[datetime] = mapped_column(UtcDateTime)
    next_check_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_check_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    latency_ms: Mapped[int | None]
    consecutive_failure_count: Mapped[int] = mapped_column(default=0)
    pause_level: Mapped[int] = mapped_column(default=0)

    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger, default=1)


def proxy_health_of(row: ProxyRow) -> ProxyHealth:
    """The health that a row holds."""
    return ProxyHealth(
        state=ProxyState(row.state),
        reason=row.state_reason,
        since=row.state_time,
        check_time=row.next_check_at,
        checked_at=row.last_check_at,
        consecutive_failures=row.consecutive_failure_count,
        pause_level=row.pause_level,
    )


def store_proxy_health(row: ProxyRow, health: ProxyHealth) -> None:
    """Write a health into a row."""
    row.state = health.state
    row.state_reason = health.reason[:200]
    row.state_time = health.since
    row.next_check_at = health.check_time
    row.last_check_at = health.checked_at
    row.consecutive_failure_count = health.consecutive_failures
    row.pause_level = health.pause_level
