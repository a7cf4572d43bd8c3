"""Writing down what is known nowhere else, although the database is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

_PATIENCE: Final = timedelta(minutes=5)
_PAUSE: Final = timedelta(milliseconds=500)


async def until_stored(write: Callable[[], Awaitable[T]]) -> T:
    """Repeat ``write`` until the database has taken it; it must be safe to repeat, because a commit whose answer was
    lost may have happened.

    Raises DependencyUnavailable after 5 minutes.
    """
    give_up = asyncio.get_running_loop().time() + _PATIENCE.total_seconds()
    while True:
        try:
            return await write()
        except DependencyUnavailable as error:
            if asyncio.get_running_loop().time() > give_up:
                raise
            log.warning("write_waits_for_database", reason=error.reason)
            await asyncio.sleep(_PAUSE.total_seconds())
