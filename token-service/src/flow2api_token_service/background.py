"""Work that is done again and again beside the calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger

log = get_logger(__name__)

_RETRY_PAUSE = timedelta(seconds=1)
_JITTER = 0.2


async def repeat(name: str, work: Callable[[], Awaitable[object]], *, interval: timedelta) -> None:
    """Do ``work`` every ``interval``, for ever: a round that fails is logged, and the next one is tried."""
    while True:
        await _attempt(name, work)
        spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - keeps replicas from working in step
        await asyncio.sleep(interval.total_seconds() * spread)


async def until_done(name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do ``work`` until it succeeds once."""
    while not await _attempt(name, work):  # noqa: ASYNC110 - what is awaited is another process
        await asyncio.sleep(_RETRY_PAUSE.total_seconds())


async def _attempt(name: str, work: Callable[[], Awaitable[object]]) -> bool:
    try:
        await work()
    except DependencyUnavailable as error:
        log.info("background_work_delayed", work=name, reason=error.reason)
        return False
    except Exception:
        # The loop owns the consequence: what fails now is tried again, and the service goes on serving.
        log.exception("background_work_failed", work=name)
        return False
    return True
