"""Tables of tokens. The columns of the original's ``tokens`` and ``token_stats`` keep their names."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, Date, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import BIG_ID, SCHEMA, Base

MAX_PROBLEM_LENGTH = 64


def _token_key() -> ForeignKey:
    return ForeignKey(f"{SCHEMA}.tokens.id", ondelete="CASCADE")


class TokenRow(Base):
    """One pooled upstream account. Secrets are sealed by the vault.

    ``proxy_id`` is the proxy that it keeps to; no foreign key, as what it names may be gone: it gets another one then.
    """

    __tablename__ = "tokens"
    __table_args__ = (
        UniqueConstraint("provider", "secret_fingerprint"),
        Index(None, "provider", "rotated_fingerprint"),
        Index(None, "refresh_time"),
        Index(None, "proxy_id"),
        Index(None, "updated_at"),
        Index(None, "state", "state_until"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    provider: Mapped[str] = mapped_column(String(32))
    sealed_secret: Mapped[str] = mapped_column("st", Text)
    secret_fingerprint: Mapped[str] = mapped_column(String(64))
    rotated_fingerprint: Mapped[str | None] = mapped_column(String(64))
    masked_secret: Mapped[str] = mapped_column(String(16))
    sealed_bearer: Mapped[str | None] = mapped_column("at", Text)
    bearer_expire_time: Mapped[datetime | None] = mapped_column("at_expires", UtcDateTime)
    refresh_time: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Why the bearer could not be renewed the last time; empty when it could.
    refresh_problem: Mapped[str] = mapped_column(String(MAX_PROBLEM_LENGTH), default="", server_default="")
    credential_version: Mapped[int] = mapped_column(BigInteger, default=0)
    sealed_proxy_url: Mapped[str | None] = mapped_column("proxy_url", Text)
    masked_proxy: Mapped[str] = mapped_column(String(300), default="")
    proxy_id: Mapped[int | None] = mapped_column(BigInteger)
    location: Mapped[str] = mapped_column(String(64), default="")
    email: Mapped[str] = mapped_column(String(320), default="")
    name: Mapped[str] = mapped_column(String(320), default="")
    remark: Mapped[str] = mapped_column(Text, default="")

    is_active: Mapped[bool]
    state: Mapped[str] = mapped_column(String(16))
    state_reason: Mapped[str] = mapped_column("ban_reason", String(200), default="")
    state_time: Mapped[datetime] = mapped_column("banned_at", UtcDateTime)
    state_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cooldown_level: Mapped[int] = mapped_column(default=0)
    suspect_level: Mapped[int] = mapped_column(default=0)

    tier: Mapped[int] = mapped_column("user_paygate_tier", default=0)
    credits: Mapped[int | None] = mapped_column(BigInteger)
    # When they were last asked for, also in vain.
    credits_read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    project_id: Mapped[str] = mapped_column("current_project_id", String(200), default="")
    project_name: Mapped[str] = mapped_column("current_project_name", String(200), default="")
    image_enabled: Mapped[bool]
    video_enabled: Mapped[bool]
    image_concurrency: Mapped[int]
    video_concurrency: Mapped[int]
    # Its own limits per upstream model, as JSON; empty for none.
    model_limits: Mapped[str] = mapped_column(Text, default="", server_default="")

    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger, default=1)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    use_count: Mapped[int] = mapped_column(BigInteger, default=0)

    stats: Mapped[TokenStatsRow] = relationship(lazy="raise", cascade="all, delete-orphan", passive_deletes=True)
    rests: Mapped[list[TokenRestRow]] = relationship(lazy="raise", cascade="all, delete-orphan", passive_deletes=True)
    projects: Mapped[list[ProjectRow]] = relationship(
        lazy="raise", cascade="all, delete-orphan", passive_deletes=True, order_by="ProjectRow.id"
    )


class TokenStatsRow(Base):
    """Counters of one token. ``today_*`` belong to ``today_date``, a UTC day."""

    __tablename__ = "token_stats"

    token_id: Mapped[int] = mapped_column(_token_key(), primary_key=True)
    image_count: Mapped[int] = mapped_column(BigInteger, default=0)
    video_count: Mapped[int] = mapped_column(BigInteger, default=0)
    success_count: Mapped[int] = mapped_column(BigInteger, default=0)
    error_count: Mapped[int] = mapped_column(BigInteger, default=0)
    last_success_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    today_image_count: Mapped[int] = mapped_column(BigInteger, default=0)
    today_video_count: Mapped[int] = mapped_column(BigInteger, default=0)
    today_error_count: Mapped[int] = mapped_column(BigInteger, default=0)
    today_date: Mapped[date | None] = mapped_column(Date)
    consecutive_error_count: Mapped[int] = mapped_column(default=0)


class TokenRestRow(Base):
    """Until when a token is not used for one upstream model."""

    __tablename__ = "token_rests"

    token_id: Mapped[int] = mapped_column(_token_key(), primary_key=True)
    upstream_model: Mapped[str] = mapped_column(String(200), primary_key=True)
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    level: Mapped[int]
    reason: Mapped[str] = mapped_column(String(64))


class ProjectRow(Base):
    """One upstream project of a token."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("token_id", "project_id"),)

    id: Mapped[int] = mapped_column(BIG_ID, primary_key=True)
    token_id: Mapped[int] = mapped_column(_token_key())
    project_id: Mapped[str] = mapped_column(String(200))
    project_name: Mapped[str] = mapped_column(String(200), default="")
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
