"""Tables of API keys, administrators and their sessions. Secrets are stored as keyed hashes, passwords as argon2id."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_token_service.models_base import SCHEMA, Base

UNLIMITED = -1


class ApiKeyRow(Base):
    """A client's key and what it may do (`key_policy.py`); ``revision`` counts the changes of that."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16))
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    max_concurrency: Mapped[int]
    weight: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    requests_per_minute: Mapped[int] = mapped_column(default=UNLIMITED, server_default=text("-1"))
    daily_credit_budget: Mapped[int] = mapped_column(BigInteger, default=UNLIMITED, server_default=text("-1"))
    daily_budget_micro_usd: Mapped[int] = mapped_column(BigInteger, default=UNLIMITED, server_default=text("-1"))
    allowed_models: Mapped[list[str]] = mapped_column(JSON, default=list, server_default=text("'[]'"))
    revision: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AdminRow(Base):
    """An administrator. ``settings_hash`` is of the password that the settings last gave (`Passwords.fingerprint`).

    The row of one who was removed stays, without a password: the settings must not bring them back at the next start.
    """

    __tablename__ = "admins"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    settings_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AdminSessionRow(Base):
    """A login. ``id`` names it without opening anything; one that an older release has opened has none."""

    __tablename__ = "admin_sessions"
    __table_args__ = (Index(None, "admin_id"), Index(None, "expires_at"), Index(None, "id", unique=True))

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    id: Mapped[str | None] = mapped_column(String(64))
    admin_id: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.admins.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    client_address: Mapped[str] = mapped_column(String(100), default="", server_default=text("''"))
    user_agent: Mapped[str] = mapped_column(String(200), default="", server_default=text("''"))
