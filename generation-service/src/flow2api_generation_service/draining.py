"""Tasks that outlive the request which began them, owned by the service."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from flow2api_common.logs import get_logger

log = get_logger(__name__)


class DrainingTasks:
    """Owns tasks until they end. On leaving it waits for those under way, but not longer than ``grace``, then cancels.

    A task that fails is logged; it takes nothing else down.
    """

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        await self.drain()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` as a task of its own."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def drain(self) -> None:
        """Wait for the tasks under way and those that they start, at most for the grace; cancel what is left."""
        deadline = asyncio.get_running_loop().time() + self._grace.total_seconds()
        while self._tasks and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left)
        # Cancelled work may start a last short task, e.g. to give its lease back.
        for _ in range(3):
            if not self._tasks:
                return
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=1)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task_failed", task=task.get_name(), exc_info=error)
