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
    """Load for ``seconds`` after ``warm_up`` calls per worker; every worker has a connection of its own.

    Raises what the first failed call raised: a benchmark over failures measures nothing.
    """
    durations: list[float] = []
    ready = asyncio.Barrier(concurrency + 1)
    finish_at = 0.0

    async def worker() -> None:
        async with open_call() as call:
            for _ in range(warm_up):
                await call()
            await ready.wait()
            while (began := time.perf_counter()) < finish_at:
                await call()
                durations.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(worker())
        began = time.perf_counter()
        while ready.n_waiting < concurrency:
            await asyncio.sleep(0.005)
            finish_at = time.perf_counter() + seconds
        began = time.perf_counter()
        finish_at = began + seconds
        await ready.wait()
    elapsed = time.perf_counter() - began
    durations.sort()
    return Measurement(
        requests_per_second=len(durations) / elapsed,
        p50=_quantile(durations, 0.50),
        p99=_quantile(durations, 0.99),
        count=len(durations),
    )


def _quantile(ordered: list[float], fraction: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * fraction))]
