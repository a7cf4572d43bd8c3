"""Waiting for something to become true, by polling with a deadline."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.25


@overload
async def eventually(check: Callable[[], Awaitable[T]], timeout: float = 10.0) -> T: ...


@overload
async def eventually(check: Callable[[], T], timeout: float = 10.0) -> T: ...


async def eventually(check: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Poll ``check`` (a function or a coroutine function) until its answer is truthy; give that answer.

    What ``check`` raises means "not yet". After ``timeout`` seconds the test fails with the last error or answer.
    """
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE_SECONDS
    while True:
        error: Exception | None = None
        answer: object = None
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(deadline - time.monotonic(), 0.05)):
                found = check()
                answer = await found if inspect.isawaitable(found) else found
            if answer:
                return answer
        except Exception as exc:  # noqa: BLE001 - reported when the time is up
            error = exc
        if time.monotonic() >= deadline:
            last = f"last error: {error!r}" if error else f"last answer: {answer!r}"
            raise AssertionError(f"not within {timeout:g} s; {last}") from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
