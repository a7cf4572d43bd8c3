"""The beginning of a stream, looked at before the answer begins, so that an early error still has its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from flow2api_common.lifecycle import end_tasks

T = TypeVar("T")


def _any(_element: object) -> bool:
    return True


async def peeked(
    source: AsyncIterator[T], patience: timedelta, *, is_begun: Callable[[T], bool] = _any
) -> AsyncIterator[T]:
    """The same stream, after the first element with which it ``is_begun`` is there or ``patience`` is over.

    Raises what came instead of it. Cancelling it ends the stream.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + patience.total_seconds()
    seen: list[T] = []
    while True:
        following: asyncio.Task[T] = asyncio.create_task(_next(source), name="first-event")
        try:
            await asyncio.wait({following}, timeout=max(0.0, until - loop.time()))
        except asyncio.CancelledError:
            await end_tasks([following])
            raise
        if not following.done() or isinstance(following.exception(), _Empty):
            return _whole(seen, following, source)
        seen.append(following.result())
        if is_begun(seen[-1]):
            return _whole(seen, None, source)


class _Empty(Exception):
    """The stream has no further element."""


async def _next(source: AsyncIterator[T]) -> T:
    async for element in source:
        return element
    raise _Empty


async def _whole(seen: Sequence[T], following: asyncio.Task[T] | None, source: AsyncIterator[T]) -> AsyncIterator[T]:
    try:
        for element in seen:
            yield element
        if following is not None:
            try:
                yield await following
            except _Empty:
                return
        async for element in source:
            yield element
    finally:
        if following is not None:
            await end_tasks([following])
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
