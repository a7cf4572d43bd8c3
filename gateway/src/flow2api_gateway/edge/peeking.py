"""The first element of a stream, looked at before the answer begins, so that an early error still has its status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


async def peeked(source: AsyncIterator[T], patience: timedelta) -> AsyncIterator[T]:
    """The same stream, after its first element is there or ``patience`` is over. Raises what came instead of it."""
    first: asyncio.Task[T] = asyncio.create_task(_first(source), name="first-event")
    try:
        await asyncio.wait({first}, timeout=patience.total_seconds())
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done() and not first.cancelled():
        error = first.exception()
        if error is not None and not isinstance(error, _Empty):
            raise error
    return _rest(first, source)


class _Empty(Exception):
    """The stream ended without an element."""


async def _first(source: AsyncIterator[T]) -> T:
    async for element in source:
        return element
    raise _Empty


async def _rest(first: asyncio.Task[T], source: AsyncIterator[T]) -> AsyncIterator[T]:
    try:
        try:
            yield await first
        except _Empty:
            return
        async for element in source:
            yield element
    finally:
        if not first.done():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
