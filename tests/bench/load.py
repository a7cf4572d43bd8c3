"""A closed-loop load: so many workers, each sending its next request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

Call = Callable[[], Awaitable[None]]
"""One request, to its last byte. Raises when the answer is not the right one."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one load at one concurrency showed. Durations in seconds."""

    requests_per_second: float
    p50: float
    p99: float
    count: int


async def measure(
    open_call: Callable[[], AbstractAsyncContextManager[Call]], *, concurrency: int, seconds: float, warm_up: int
) -> Measurement:
    """What ends in a load that goes on before and after: from the moment at which every worker has made ``warm_up``
    calls, for ``seconds``, and until as many calls have ended as there are workers, because many workers move in waves.

    Every worker has a connection of its own, which is never idle, lest the server closes it.
    Raises what the first failed call raised: a benchmark over failures measures nothing.
    """
    durations: list[float] = []
    warm = 0
    begin = end = 0.0

    async def worker() -> None:
        nonlocal warm, begin, end
        async with open_call() as call:
            for _ in range(warm_up):
                await call()
            warm += 1
            if warm == concurrency:
                begin = time.perf_counter()
            while not end:
                began = time.perf_counter()
                await call()
                ended = time.perf_counter()
                if begin and not end:
                    durations.append(ended - began)
                    if ended >= begin + seconds and len(durations) >= concurrency:
                        end = ended

    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(worker())
    durations.sort()
    return Measurement(
        requests_per_second=len(durations) / (end - begin),
        p50=_quantile(durations, 0.50),
        p99=_quantile(durations, 0.99),
        count=len(durations),
    )


def _quantile(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
