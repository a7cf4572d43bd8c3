"""How long a token is left alone after a refresh that proved nothing: longer with every failure in a row."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from redis.asyncio import Redis

from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(minutes=30)
_MEMORY = timedelta(hours=2)
_SHORTEST_WAIT_FOR_END = timedelta(seconds=15)


class RefreshPauses:
    """Counts failures in a row, for all replicas together. Losing the count only begins the pauses anew."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def next(self, token_id: int, retry_after: timedelta | None) -> timedelta:
        """One failure more; gives the pause after it, not less than the upstream asks for. Raises
        DependencyUnavailable."""
        key = _key(token_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, _MEMORY)
            with redis_errors():
                failure_count, _ = await pipe.execute()
        doubled: timedelta = FIRST_PAUSE * 2 ** min(int(failure_count) - 1, 10)
        spread: float = 1 + random.random()  # noqa: S311 - it spreads load, it hides nothing
        return max(min(doubled, LONGEST_PAUSE) * spread, retry_after or timedelta(0))

    async def end(self, token_id: int) -> None:
        """A refresh has worked. Raises DependencyUnavailable."""
        with redis_errors():
            await self._redis.delete(_key(token_id))


def next_attempt(expire_time: datetime | None, *, pause: timedelta, now: datetime) -> datetime:
    """When a refresh is tried again: after the pause, but at the end of the bearer at the latest while that lives.

    Only where the bearer had ended already does the next attempt lie behind its end; such a token is given no work
    until then (`tokens/pool_entry.py`).
    """
    if expire_time is None or expire_time <= now:
        return now + pause
    return min(now + pause, max(expire_time, now + _SHORTEST_WAIT_FOR_END))


def _key(token_id: int) -> str:
    return f"{KEY_PREFIX}:refresh-failures:{token_id}"
