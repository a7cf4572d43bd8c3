"""The base of all tables of the token service: schema ``tokens``."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase

SCHEMA = "tokens"

BIG_ID = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit identifiers; SQLite counts up by itself only in an INTEGER primary key, which has 64 bits there."""


class Base(DeclarativeBase):
    """What every table has: the schema, and constraint names that migrations can refer to."""

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
