"""Brings the leases of running videos back when the pool has lost them.

The pool keeps its leases in Redis alone. When that comes back empty, only the jobs still tell which tokens the upstream
is at work on; until they are known again, the pool begins no videos (docs/design.md, section 5: no account over its
limit). Any number of replicas may bring back the same leases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from flow2api_common.clock import Clock
from flow2api_common.database import Database
from flow2api_common.errors import DependencyUnavailable
from flow2api_common.logs import get_logger
from flow2api_generation_service.leasing import LeaseClient
from flow2api_generation_service.videos.repository import JobRepository
from flow2api_proto.tokens.v1 import token_pb2

log = get_logger(__name__)
T = TypeVar("T")

_INTERVAL: Final = timedelta(seconds=2)
_BATCH: Final = 500
_SHORTEST: Final = timedelta(minutes=2)
"""A lease of a job that still runs lives at least so long: the poller renews it at its next looks."""
_LONGEST: Final = timedelta(hours=1)
_UNKNOWN: Final = timedelta(minutes=10)
"""How long a clip whose submission was not answered, or that was given up, is thought to be in the making."""


class LeaseRestorer:
    """Asks the pool now and then whether it has lost its leases."""

    def __init__(self, *, database: Database, leases: LeaseClient, clock: Clock) -> None:
        self._database = database
        self._leases = leases
        self._clock = clock

    async def run(self) -> None:
        """Watch until cancelled. A pool or database that is away is waited for."""
        while True:
            try:
                if await self._leases.pool_is_restoring():
                    await self.restore_once()
            except DependencyUnavailable as error:
                log.info("lease_restoring_waits", reason=error.reason)
            await asyncio.sleep(_INTERVAL.total_seconds())

    async def restore_once(self) -> int:
        """Renew every lease that a video runs on, or may run on; answers how many there were."""
        now = self._clock()
        async with self._database.transaction(read_only=True) as session:
            jobs = JobRepository(session)
            followed = [token_pb2.Lease.FromString(each) for each in await jobs.followed_leases()]
            unfollowed = await jobs.unfollowed_leases(since=now - _UNKNOWN)
        for batch in _batches(followed):
            longest = max(_expire_time(lease) - now for lease in batch)
            await self._leases.renew(batch, min(max(longest, _SHORTEST), _LONGEST))
        for given_up in _batches(unfollowed):
            # Nobody renews them later: they get all the time that is left to them.
            last = max(ended for _, ended in given_up)
            leases = [token_pb2.Lease.FromString(lease) for lease, _ in given_up]
            await self._leases.renew(leases, max(last + _UNKNOWN - now, _SHORTEST))
        await self._leases.finish_restoring()
        count = len(followed) + len(unfollowed)
        log.warning("leases_restored", lease_count=count)
        return count


def _batches(leases: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(leases), _BATCH):
        yield leases[start : start + _BATCH]


def _expire_time(lease: token_pb2.Lease) -> datetime:
    return lease.expire_time.ToDatetime(tzinfo=UTC)
