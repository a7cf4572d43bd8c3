"""Tasks that outlive the call that started them, with an owner that waits for them at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from flow2api_common.errors import Flow2APIError
from flow2api_common.lifecycle import end_tasks
from flow2api_common.logs import get_logger

log = get_logger(__name__)
T = TypeVar("T")


class OwnedTasks:
    """Short pieces of work that must not be cancelled together with a caller that goes away."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Begin a piece of work. Its failure is for whoever awaits the task; with nobody there it is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def finish(self, work: Coroutine[Any, Any, T], *, name: str) -> T:
        """Run a piece of work to its end, also when the caller is cancelled meanwhile."""
        return await asyncio.shield(self.start(work, name=name))

    async def aclose(self, grace: timedelta) -> None:
        """Wait for what is still going on, then cancel it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace.total_seconds())
        await end_tasks(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Flow2APIError):
            log.error("task_failed", task=task.get_name(), error=type(error).__name__)
