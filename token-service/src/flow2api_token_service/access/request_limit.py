"""Requests per minute of an API key, counted in Redis for all replicas, on its clock.

A window that slides: within any 60 seconds no more begin than the limit allows. It fails closed: while Redis is away,
keys that have a limit begin nothing, as otherwise nobody would count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from redis.asyncio import Redis

from flow2api_common.errors import CapacityError
from flow2api_token_service.redis_client import KEY_PREFIX, redis_errors

WINDOW: Final = timedelta(minutes=1)

_MILLISECOND = timedelta(milliseconds=1)

# KEYS[1]  sorted set of the ids that were counted by their time
# ARGV     limit, length of the window in milliseconds, id
# answer: {1 when it may begin, how many are in the window, ms until one more may begin, ms until the window is empty}
_COUNT = """
local limit, window_ms, id = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window_ms)
local count = redis.call('ZCARD', KEYS[1])
local allowed, wait_ms = 1, 0
if not redis.call('ZSCORE', KEYS[1], id) then
  if count < limit then
    redis.call('ZADD', KEYS[1], now, id)
    redis.call('PEXPIRE', KEYS[1], window_ms)
    count = count + 1
  else
    -- The limit may have been lowered: as many have to leave the window as are too many.
    local last = redis.call('ZRANGE', KEYS[1], count - limit, count - limit, 'WITHSCORES')
    allowed, wait_ms = 0, tonumber(last[2]) + window_ms - now
  end
end
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
return {allowed, count, wait_ms, tonumber(newest[2]) + window_ms - now}
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left. ``reset`` is the time until all of ``limit`` may begin again."""

    limit: int
    remaining: int
    reset: timedelta


class RequestLimit:
    """Counts what begins."""

    def __init__(self, *, redis: Redis, window: timedelta = WINDOW) -> None:
        self._count = redis.register_script(_COUNT)
        self._window = window

    async def count(self, api_key_id: str, *, limit: int, generation_id: str) -> Quota:
        """Count one that begins; the same id again within the window is not counted.

        Raises CapacityError REQUESTS_PER_MINUTE when the window is full, and DependencyUnavailable.
        """
        with redis_errors():
            allowed, count, wait_ms, reset_ms = await self._count(
                keys=[f"{KEY_PREFIX}:requests:{api_key_id}"],
                args=[limit, self._window // _MILLISECOND, generation_id],
            )
        quota = Quota(limit, max(0, limit - int(count)), int(reset_ms) * _MILLISECOND)
        if not int(allowed):
            raise _exceeded(quota, int(wait_ms) * _MILLISECOND)
        return quota


def _exceeded(quota: Quota, wait: timedelta) -> CapacityError:
    return CapacityError(
        f"This API key may begin {quota.limit} generations a minute.",
        reason="REQUESTS_PER_MINUTE",
        retry_after=max(wait, _MILLISECOND),
        metadata={
            "limit_requests": str(quota.limit),
            "remaining_requests": str(quota.remaining),
            "reset_requests_ms": str(quota.reset // _MILLISECOND),
        },
    )
