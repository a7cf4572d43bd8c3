"""The sandbox's own time: it runs like the wall clock, and tests move it forward."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Seconds since the epoch, plus what was added by ``advance``."""

    def __init__(self, time_source: Callable[[], float] = time.time) -> None:
        self._time_source = time_source
        self._offset = 0.0
        self._moved = asyncio.Event()
        self._stopped = False

    def now(self) -> float:
        """Seconds since the epoch as the sandbox sees it."""
        return self._time_source() + self._offset

    def advance(self, seconds: float) -> None:
        """Move time forward and wake whoever waits for it."""
        self._offset += seconds
        self._wake()

    def stop(self) -> None:
        """End every wait now and in future, so that a stopping server keeps nobody."""
        self._stopped = True
        self._wake()

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has gone on by that much; ``advance`` and ``stop`` shorten it."""
        target = self.now() + seconds
        while not self._stopped and (left := target - self.now()) > 0:
            moved = self._moved
            try:
                async with asyncio.timeout(left):
                    await moved.wait()
            except TimeoutError:
                return

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def to_rfc3339(seconds: float) -> str:
    """A time as Google writes it: ``2026-01-01T10:00:00.000Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
