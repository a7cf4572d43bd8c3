"""Watching a job of the generation-service to its end, also while the service goes and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Generic, Protocol, TypeVar

from flow2api_common.errors import DependencyUnavailable, UpstreamTimeout
from flow2api_common.grpc_client import rpc_errors
from flow2api_common.logs import get_logger

_RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_PATIENCE_SECONDS: Final = 120.0
log = get_logger(__name__)


class _Job(Protocol):
    version: int
    progress_percent: int


JobT = TypeVar("JobT", bound=_Job)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the watcher has seen last: only what is later is told."""

    version: int = 0
    progress_percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Generic[JobT]):
    """How jobs of a kind are watched.

    ``call`` begins one stream after what was seen, with a timeout in seconds; ``too_late`` is raised when time is up.
    """

    call: Callable[[Seen, float], AsyncGenerator[JobT, None]]
    state_of: Callable[[JobT], int]
    final_states: Collection[int]
    too_late: UpstreamTimeout


async def follow(watch: Watch[JobT], *, job_id: str, timeout: timedelta, seen: Seen) -> AsyncGenerator[JobT, None]:
    """The job now and after each change; ends after a final state.

    The service may go and come back meanwhile: the watch is taken up again after the last version seen, for as long as
    two minutes without an answer. Closing the iterator leaves the job running. Raises ``watch.too_late`` when the job
    has not ended after ``timeout``; it goes on.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout.total_seconds()
    failures, silent_since = 0, loop.time()
    while True:
        try:
            async with aclosing(watch.call(seen, max(0.001, deadline - loop.time()))) as stream:
                with rpc_errors("generation"):
                    async for job in stream:
                        failures, silent_since = 0, loop.time()
                        seen = Seen(job.version, max(seen.progress_percent, job.progress_percent))
                        yield job
                        if watch.state_of(job) in watch.final_states:
                            return
            # The stream ended in between: the service is being replaced.
        except DependencyUnavailable as error:
            if loop.time() >= deadline:
                raise watch.too_late from error
            if loop.time() - silent_since > _PATIENCE_SECONDS:
                raise
        log.info("job_watch_resumed", job_id=job_id, failures=failures)
        await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
        failures += 1
