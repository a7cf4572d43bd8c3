"""Work that is done again and again beside the calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger

log = get_logger(__name__)

_RETRY_PAUSE = timedelta(seconds=1)
_JITTER = 0.2


class Loops:
    """Loops that end between two rounds, so that nothing is cancelled in the middle of a transaction."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self._running: set[asyncio.Future[None]] = set()

    async def stop(self, grace: timedelta) -> None:
        """Let each loop end after its round; returns when all have ended or the time is up."""
        self._stopped.set()
        if self._running:
            await asyncio.wait(self._running, timeout=grace.total_seconds())

    async def repeat(self, name: str, work: Callable[[], Awaitable[object]], *, interval: timedelta) -> None:
        """Do ``work`` every ``interval``: a round that fails is logged, and the next one is tried."""
        with self._run():
            while not self._stopped.is_set():
                await _attempt(name, work)
                spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - keeps replicas from working in step
                await self._pause(interval * spread)

    async def until_done(
        self, name: str, work: Callable[[], Awaitable[object]], *, fatal: tuple[type[Exception], ...] = ()
    ) -> None:
        """Do ``work`` until it succeeds once. Raises the ``fatal`` errors, which no repetition heals."""
        with self._run():
            while not self._stopped.is_set() and not await _attempt(name, work, fatal=fatal):
                await self._pause(_RETRY_PAUSE)

    @contextmanager
    def _run(self) -> Iterator[None]:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._running.add(ended)
        try:
            yield
        finally:
            self._running.discard(ended)
            ended.set_result(None)

    async def _pause(self, length: timedelta) -> None:
        try:
            async with asyncio.timeout(length.total_seconds()):
                await self._stopped.wait()
        except TimeoutError:
            pass  # Time for the next round.


async def _attempt(
    name: str, work: Callable[[], Awaitable[object]], *, fatal: tuple[type[Exception], ...] = ()
) -> bool:
    try:
        await work()
    except fatal:
        raise
    except DependencyUnavailable as error:
        log.info("background_work_delayed", work=name, reason=error.reason)
        return False
    except Exception:
        # The loop owns the consequence: what fails now is tried again, and the service goes on serving.
        log.exception("background_work_failed", work=name)
        return False
    return True
