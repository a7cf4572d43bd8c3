"""Running a service: owned background work, and what the command line needs to know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, NoReturn, Protocol, Self

from flow2api_common.logs import get_logger

log = get_logger(__name__)

_CANCEL_AGAIN = timedelta(seconds=2)
_CANCELLATIONS = 10


class RunningService(Protocol):
    """A service that listens; leaving the context manager that gave it stops it."""

    @property
    def name(self) -> str:
        """``gateway``, ``token``, ``generation``, ``poller``."""

    @property
    def address(self) -> str:
        """Where it listens, with the real port; empty for one that does not."""

    async def wait(self) -> None:
        """Return never while all is well; raise what made a component fail."""


async def end_tasks(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel these tasks and wait for their end; raises none of their failures.

    A library may swallow a cancellation (asyncio.wait_for does before Python 3.12, SQLAlchemy while it takes a
    connection back), and a loop goes on after it. So it is repeated, and after 20 s the task is left behind and named
    in the log.
    """
    running = {task for task in tasks if not task.done()}
    for _ in range(_CANCELLATIONS):
        if not running:
            return
        for task in running:
            task.cancel()
        done, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN.total_seconds())
        for task in done:
            if not task.cancelled():
                # Seen, so that nobody complains.
                task.exception()
    if running:
        names = sorted(task.get_name() if isinstance(task, asyncio.Task) else repr(task) for task in running)
        log.error("tasks_left_running", tasks=names)


class BackgroundTasks:
    """Named tasks that live as long as the block. A failure cancels nothing by itself: `wait` raises it.

    Leaving cancels the tasks that still run and waits for their end; it raises none of their failures, which `wait` and
    the log have told.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._failed = asyncio.get_running_loop().create_future()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_tasks(self._tasks)
        if self._failed is not None and self._failed.done():
            # Seen, so that nobody complains when no one has waited.
            self._failed.exception()

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run ``work`` as a task of this name; it may end by itself."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def wait(self) -> NoReturn:
        """Wait for the first failure and raise it; never returns."""
        if self._failed is None:
            raise RuntimeError("the tasks have not been entered")
        # Shielded, so that a waiter that is cancelled does not end the waiting of the others.
        await asyncio.shield(self._failed)
        raise AssertionError("unreachable: the future only ever fails")

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        log.error("background_task_failed", task=task.get_name(), exc_info=error)
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)
