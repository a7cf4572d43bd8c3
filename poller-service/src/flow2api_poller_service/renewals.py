"""Keeps leases alive with few calls: only those that would run out, and many of many tokens in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from flow2api_common.clock import Clock
from flow2api_proto.tokens.v1 import token_pb2

_WINDOW: Final = timedelta(milliseconds=50)
_NOTHING: Final = timedelta(0)


class Renewing(Protocol):
    """What is needed of the token pool."""

    async def renew(self, leases: Sequence[token_pb2.Lease], duration: timedelta) -> None:
        """Keep leases alive, all in one call. Never fails."""


@dataclass(slots=True)
class _Batch:
    until: datetime
    leases: list[token_pb2.Lease] = field(default_factory=list)
    sent: asyncio.Event = field(default_factory=asyncio.Event)


class LeaseRenewals:
    """Collects for a moment what the groups in hand want to keep."""

    def __init__(self, *, pool: Renewing, clock: Clock, batch: int) -> None:
        self._pool = pool
        self._clock = clock
        self._largest = batch
        self._open: _Batch | None = None

    async def keep(self, leases: Sequence[token_pb2.Lease], *, until: datetime) -> None:
        """Have these live at least that long. Never fails; see `TokenPool.renew`.

        A message carries its lease as it was taken: one that lived long enough then needs no call. After its first
        renewal nobody here knows how long it lives, and it is renewed at every look.
        """
        short = [lease for lease in leases if lease.expire_time.ToDatetime(tzinfo=UTC) < until]
        if not short:
            return
        batch, is_first = self._open, False
        if batch is None:
            batch, is_first = _Batch(until), True
            self._open = batch
        batch.leases += short
        batch.until = max(batch.until, until)
        if len(batch.leases) >= self._largest:
            self._open = None
        if not is_first:
            await batch.sent.wait()
            return
        try:
            await asyncio.sleep(_WINDOW.total_seconds())
            self._close(batch)
            await self._pool.renew(batch.leases, max(batch.until - self._clock(), _NOTHING))
        finally:
            # Also when cancelled: the others go on, and their leases have the margin left.
            self._close(batch)
            batch.sent.set()

    def _close(self, batch: _Batch) -> None:
        if self._open is batch:
            self._open = None
