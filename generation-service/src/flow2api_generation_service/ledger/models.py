"""The tables of the ledger: one entry per paid call, what keys spend per day, and sums that outlive the entries."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from flow2api_common.database import UtcDateTime
from flow2api_generation_service.models_base import Base


class LedgerEntryRow(Base):
    """One paid call of a generation.

    ``line`` tells the calls of a generation apart: `generate` and `upscale` of a video, `picture:<index>` of pictures;
    `<line>:<attempt>` is an attempt whose answer was lost and that was repeated. ``credits`` is what counts now: what
    is reserved, then what the upstream took; the rest of ``reserved_credits`` is released. The same for ``micros``,
    millionths of ``currency``, where the route has a price in money. ``day`` is the UTC day of the acceptance for good.
    """

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("credits >= 0 AND released_credits >= 0", name="not_negative"),
        CheckConstraint("reserved_credits = credits + released_credits", name="credits_add_up"),
        CheckConstraint("reserved_micros = micros + released_micros", name="micros_add_up"),
        Index("ix_ledger_entries_create_time", "create_time", "generation_id", "line"),
        Index("ix_ledger_entries_day_api_key_id", "day", "api_key_id"),
        Index("ix_ledger_entries_state_update_time", "state", "update_time"),
    )

    generation_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    line: Mapped[str] = mapped_column(String(32), primary_key=True)
    operation: Mapped[str] = mapped_column(String(16))
    api_key_id: Mapped[str] = mapped_column(String(64))
    day: Mapped[date] = mapped_column(Date)
    model_id: Mapped[str] = mapped_column(String(128))
    provider: Mapped[str | None] = mapped_column(String(32))
    upstream_model: Mapped[str | None] = mapped_column(String(128))
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    attempt_id: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64), default="")
    reserved_credits: Mapped[int] = mapped_column(BigInteger)
    credits: Mapped[int] = mapped_column(BigInteger)
    released_credits: Mapped[int] = mapped_column(BigInteger, default=0)
    reserved_micros: Mapped[int | None] = mapped_column(BigInteger)
    micros: Mapped[int | None] = mapped_column(BigInteger)
    released_micros: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None] = mapped_column(String(3))
    balance_after: Mapped[int | None] = mapped_column(BigInteger)
    output_count: Mapped[int] = mapped_column(Integer, default=0)
    create_time: Mapped[datetime] = mapped_column(UtcDateTime)
    update_time: Mapped[datetime] = mapped_column(UtcDateTime)


class LedgerDayRow(Base):
    """What the generations of an API key that were accepted on one UTC day take: the row that guards its budget.

    Kept in step with the entries by the transactions that change them. Days on which nothing cost anything have none.
    """

    __tablename__ = "ledger_days"
    __table_args__ = (
        CheckConstraint("open_credits >= 0 AND settled_credits >= 0 AND released_credits >= 0", name="not_negative"),
        CheckConstraint("reserved_credits = open_credits + settled_credits + released_credits", name="credits_add_up"),
        CheckConstraint("reserved_micros = open_micros + settled_micros + released_micros", name="micros_add_up"),
    )

    api_key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True, index=True)
    reserved_credits: Mapped[int] = mapped_column(BigInteger, default=0)
    open_credits: Mapped[int] = mapped_column(BigInteger, default=0)
    settled_credits: Mapped[int] = mapped_column(BigInteger, default=0)
    released_credits: Mapped[int] = mapped_column(BigInteger, default=0)
    reserved_micros: Mapped[int] = mapped_column(BigInteger, default=0)
    open_micros: Mapped[int] = mapped_column(BigInteger, default=0)
    settled_micros: Mapped[int] = mapped_column(BigInteger, default=0)
    released_micros: Mapped[int] = mapped_column(BigInteger, default=0)


class LedgerSumRow(Base):
    """Closed entries of a day that have been removed, summed up. ``token_id`` 0 is none, ``provider`` may be empty."""

    __tablename__ = "ledger_sums"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    api_key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    operation: Mapped[str] = mapped_column(String(16), primary_key=True)
    provider: Mapped[str] = mapped_column(String(32), primary_key=True)
    token_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    entry_count: Mapped[int] = mapped_column(BigInteger)
    settled_count: Mapped[int] = mapped_column(BigInteger)
    output_count: Mapped[int] = mapped_column(BigInteger)
    reserved_credits: Mapped[int] = mapped_column(BigInteger)
    settled_credits: Mapped[int] = mapped_column(BigInteger)
    released_credits: Mapped[int] = mapped_column(BigInteger)
    reserved_micros: Mapped[int] = mapped_column(BigInteger)
    settled_micros: Mapped[int] = mapped_column(BigInteger)
    released_micros: Mapped[int] = mapped_column(BigInteger)
