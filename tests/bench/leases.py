"""Leases on real Redis, in pools of different sizes, beside bare round trips of the same number.

An acquire and a release are one round trip each; beside them stand two PINGs. The loads of the sizes alternate in short
turns, so that whatever else the machine does meets all of them alike; the turn with the middle p50 is shown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from redis.asyncio import Redis

from flow2api_cli.private_servers import start_redis
from flow2api_common.ids import new_id
from flow2api_common.settings import load_settings
from flow2api_token_service.leases.pool_index import PoolIndex
from flow2api_token_service.leases.records import (
    Candidate,
    IndexState,
    LeaseKind,
    LeaseRequest,
    PoolEntry,
    Refusal,
    Verdict,
)
from flow2api_token_service.redis_client import open_redis
from flow2api_token_service.settings import RedisSettings
from load import Call, Measurement, measure

SIZES = (10, 1_000, 100_000)
_TURNS = 20
_PAGE = 500
_CANDIDATE = Candidate(provider="flow", upstream_model="banana")


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """What one pool showed."""

    token_count: int
    bytes_per_token: float
    leases: Measurement
    pings: Measurement


async def measure_leases(folder: Path, *, seconds: float) -> list[LeaseRow]:
    """One row per size, each on a Redis of its own."""
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(_pool(folder / str(size), size)) for size in SIZES]
        leases: list[list[Measurement]] = [[] for _ in SIZES]
        pings: list[list[Measurement]] = [[] for _ in SIZES]
        for _ in range(_TURNS):
            for at, pool in enumerate(pools):
                leases[at].append(await _turn(pool.leasing, seconds))
                pings[at].append(await _turn(pool.pinging, seconds))
        return [
            LeaseRow(size, pools[at].bytes_per_token, _middle(leases[at]), _middle(pings[at]))
            for at, size in enumerate(SIZES)
        ]


def lease_lines(rows: list[LeaseRow]) -> list[str]:
    """The table."""
    smallest = rows[0].leases
    head = (
        "| tokens | acquire + release per second | p50 ms | p99 ms | p50 ÷ that of 10 tokens "
        "| two PINGs per second | their p50 ms | their p99 ms | bytes per token |"
    )
    return [head, "|" + " ---: |" * 9, *(_line(row, smallest) for row in rows)]


def _line(row: LeaseRow, smallest: Measurement) -> str:
    return (
        f"| {row.token_count:,} | {row.leases.requests_per_second:.0f} | {row.leases.p50 * 1000:.2f} "
        f"| {row.leases.p99 * 1000:.2f} | {row.leases.p50 / smallest.p50:.2f} "
        f"| {row.pings.requests_per_second:.0f} | {row.pings.p50 * 1000:.2f} | {row.pings.p99 * 1000:.2f} "
        f"| {row.bytes_per_token:.0f} |"
    )


@dataclass(frozen=True, slots=True)
class _Pool:
    url: str
    bytes_per_token: float

    @asynccontextmanager
    async def leasing(self) -> AsyncIterator[Call]:
        client = _client(self.url)
        index = PoolIndex(client)

        async def call() -> None:
            answer = await index.acquire(
                LeaseRequest(
                    lease_id=new_id("lease"),
                    request_id=new_id("request"),
                    kind=LeaseKind.IMAGE,
                    candidates=(_CANDIDATE,),
                    api_key_id="bench",
                    duration=timedelta(minutes=1),
                )
            )
            if isinstance(answer, Refusal):
                raise RuntimeError(f"refused: {answer.reason}")  # noqa: TRY004 - it is a failed call, not a wrong type
            await index.release(answer.lease, nonce="bench", verdict=Verdict.OK, output_count=1)

        try:
            yield call
        finally:
            await client.aclose()

    @asynccontextmanager
    async def pinging(self) -> AsyncIterator[Call]:
        client = _client(self.url)

        async def call() -> None:
            await client.ping()
            await client.ping()

        try:
            yield call
        finally:
            await client.aclose()


@asynccontextmanager
async def _pool(folder: Path, size: int) -> AsyncIterator[_Pool]:
    server, is_ready = start_redis(folder, socket_path=folder / "s", is_persistent=False)
    try:
        server.process.block_until_ready(is_ready)
        url = f"unix://{folder / 's'}"
        client = _client(url)
        index = PoolIndex(client)
        # Redis keeps the scripts, too; they are not part of what a token costs.
        await index.put([_entry(0)])
        await index.remove([0])
        before = await _used_bytes(client)
        for first in range(1, size + 1, _PAGE):
            await index.put([_entry(number) for number in range(first, min(first + _PAGE, size + 1))])
        await index.mark_built("bench")
        used = await _used_bytes(client) - before
        await client.aclose()
        yield _Pool(url, used / size)
    finally:
        server.process.block_until_stopped()


def _client(url: str) -> Redis:
    return open_redis(load_settings(RedisSettings, redis_url=url))


def _entry(number: int) -> PoolEntry:
    return PoolEntry(
        token_id=number,
        provider="flow",
        tier=1 + number % 3,
        credits=1000,
        revision=1,
        state=IndexState.ACTIVE,
        state_until=None,
        image_limit=4,
        video_limit=4,
        is_sick=False,
    )


async def _used_bytes(client: Redis) -> int:
    return int((await client.info("memory"))["used_memory"])


async def _turn(open_call: Callable[[], AbstractAsyncContextManager[Call]], seconds: float) -> Measurement:
    return await measure(open_call, concurrency=1, seconds=seconds / _TURNS, warm_up=20)


def _middle(turns: list[Measurement]) -> Measurement:
    return sorted(turns, key=lambda turn: turn.p50)[len(turns) // 2]
