"""Turns by bytes: how much may be in memory at a time, whoever's it is."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteTurns:
    """Lets work begin in the order of its coming, as long as all that is under way fits within ``limit_bytes``.

    What is larger than the limit has its turn alone. Whoever is cancelled while waiting leaves no trace.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def taken_bytes(self) -> int:
        """What is under way."""
        return self._taken_bytes

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until that many bytes fit, and keep them taken inside the block."""
        weight = min(size_bytes, self._limit_bytes)
        await self._take(weight)
        try:
            yield
        finally:
            self._give_back(weight)

    async def _take(self, weight: int) -> None:
        if not self._waiting and self._taken_bytes + weight <= self._limit_bytes:
            self._taken_bytes += weight
            return
        entry = weight, asyncio.get_running_loop().create_future()
        self._waiting.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:
            if entry[1].done() and not entry[1].cancelled():
                # The turn came in the same moment.
                self._give_back(weight)
            else:
                self._waiting.remove(entry)
                # Smaller ones behind it may fit now.
                self._admit()
            raise

    def _give_back(self, weight: int) -> None:
        self._taken_bytes -= weight
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._taken_bytes + self._waiting[0][0] <= self._limit_bytes:
            weight, admitted = self._waiting.popleft()
            self._taken_bytes += weight
            admitted.set_result(None)
