"""Switching a SQLite file to write-ahead logging, in which readers and the writer do not block each other."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from datetime import timedelta

from sqlalchemy import URL

_ATTEMPT_TIMEOUT = timedelta(milliseconds=50)
_TIMEOUT = timedelta(seconds=30)


async def switch_to_wal(url: URL) -> None:
    """Switch the file of this URL, and create it when it is missing; it stays switched. Safe to repeat.

    Two connections that switch at the same time wait for each other until SQLite's busy timeout, so each gives up soon
    and tries again. A file that cannot be opened is left for the connection to complain about.
    """
    if url.database:
        await asyncio.to_thread(_switch, url.database)


def _switch(path: str) -> None:
    deadline = time.monotonic() + _TIMEOUT.total_seconds()
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=_ATTEMPT_TIMEOUT.total_seconds())) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                return
        time.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - it spreads attempts, it protects nothing
