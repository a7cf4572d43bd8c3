"""Group commit: writes that wait for the same database go together into one transaction."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from flow2api_common.errors import DependencyUnavailable, Flow2APIError, InternalError
from flow2api_generation_service.draining import DrainingTasks

T = TypeVar("T")

Outcome = Flow2APIError | None
"""What became of one write of a group: nothing to tell, or why it alone was refused."""

_MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    done: asyncio.Future[None]


class GroupWrites(Generic[T]):
    """Writes items in the order of their coming: one that comes alone at once, those that come while a transaction is
    under way together in the next. An item is told to be written after the commit, never before.

    ``write`` writes some in one transaction and gives an outcome for each. When it fails for another reason than a
    database that is away, each is tried alone, so that none fails because of its company.
    """

    def __init__(
        self, name: str, write: Callable[[Sequence[T]], Awaitable[Sequence[Outcome]]], *, background: DrainingTasks
    ) -> None:
        self._name = name
        self._write = write
        self._background = background
        self._waiting: deque[_Waiting[T]] = deque()
        self._is_running = False

    async def write(self, item: T) -> None:
        """Return when it is committed; raises why it was not.

        Cancelled before its transaction begins, it is not written. Later, the cancellation goes on when the transaction
        has ended, so that what is done to undo it comes after it.
        """
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if not self._is_running:
            self._is_running = True
            self._background.start(self._name, self._run())
        cancellation: asyncio.CancelledError | None = None
        while not waiting.done.done():
            try:
                await asyncio.wait({waiting.done})
            except asyncio.CancelledError as error:
                cancellation = error
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
                    raise
        if cancellation is not None:
            waiting.done.exception()  # Seen: the cancellation says more than it.
            raise cancellation
        waiting.done.result()

    async def _run(self) -> None:
        group: list[_Waiting[T]] = []
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
                await self._write_group(group)
        finally:
            # Cancelled at the end of the service: nobody waits for ever.
            self._is_running = False
            for each in (*group, *self._waiting):
                _tell(each, InternalError("The service is stopping."))
            self._waiting.clear()

    async def _write_group(self, group: Sequence[_Waiting[T]]) -> None:
        try:
            outcomes = await self._write([each.item for each in group])
        except DependencyUnavailable as error:
            for each in group:
                # One for each: whoever gets it adds what is true of its own.
                own = DependencyUnavailable(
                    error.message, reason=error.reason, metadata=error.metadata, retry_after=error.retry_after
                )
                own.__cause__ = error
                _tell(each, own)
        except Exception as error:  # noqa: BLE001 -- told to whom it belongs
            if len(group) == 1:
                _tell(group[0], error)
                return
            for each in group:
                await self._write_group([each])
        else:
            for each, outcome in zip(group, outcomes, strict=True):
                _tell(each, outcome)


def _tell(waiting: _Waiting[T], outcome: Exception | None) -> None:
    if waiting.done.done():
        return
    if outcome is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(outcome)
