"""The Redis client of the service, and what its failures mean."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import (
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from flow2api_common.errors import DependencyUnavailable, InternalError
from flow2api_token_service.settings import RedisSettings

KEY_PREFIX = "{flow2api}"
"""In front of every key; the braces keep all of them in one slot of a cluster."""

_SOCKET_TIMEOUT_SECONDS = 5.0
_RETRY_AFTER = timedelta(seconds=1)
_PASSING = re.compile(r"\b(OOM|MISCONF|BUSY|CLUSTERDOWN|MASTERDOWN|NOREPLICAS)\b")
"""Refusals that end when Redis has memory, a disk, or its other nodes again. Source: Redis, src/server.c (shared
objects), also where a script passes them on."""
_UNAVAILABLE = (RedisConnectionError, RedisTimeoutError, BusyLoadingError, ReadOnlyError, TryAgainError)


def open_redis(settings: RedisSettings) -> Redis:
    """A client that connects when it is first used, and again after Redis was away. Close it with ``aclose``."""
    pool = BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(),
        decode_responses=True,
        max_connections=settings.redis_pool_size,
        timeout=_SOCKET_TIMEOUT_SECONDS,
        socket_timeout=_SOCKET_TIMEOUT_SECONDS,
        # A pooled connection that a restarted server has closed shows that only when it is used.
        retry=Retry(ConstantBackoff(0.05), retries=1, supported_errors=(RedisConnectionError,)),
    )
    return Redis.from_pool(pool)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turns what the client raises into our errors: away, starting, full or read-only is DependencyUnavailable."""
    try:
        yield
    except _UNAVAILABLE as exc:
        raise DependencyUnavailable("Redis cannot be used at the moment.", retry_after=_RETRY_AFTER) from exc
    except RedisError as exc:
        if isinstance(exc, OutOfMemoryError) or (isinstance(exc, ResponseError) and _PASSING.search(str(exc))):
            raise DependencyUnavailable("Redis takes no writes at the moment.", retry_after=_RETRY_AFTER) from exc
        raise InternalError("Redis refused a command.") from exc
