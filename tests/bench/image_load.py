"""Streamed and plain image requests through everything, beside bare floors, with upstreams of several speeds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc.aio

import floors
from http_stream import plain_post, streamed_post
from load import Call, Measurement, measure
from system import floor_server, running_chain

CONCURRENCY = (1, 16, 64, 256)
LATENCIES = (timedelta(0), timedelta(milliseconds=200))
"""How long the sandbox takes for a picture."""

_CHAT = {
    "model": "gemini-3.1-flash-image-square",
    "stream": True,
    "messages": [{"role": "user", "content": "a lighthouse at dawn"}],
}
_IMAGE = {"model": "gemini-3.1-flash-image-square", "prompt": "a lighthouse at dawn", "response_format": "url"}
_STREAMED = "bare FastAPI, streamed"
_PLAIN = "bare FastAPI, plain"
# A warm-up at 256 takes as long as a measurement; one request each opens the connections.
_WARM_UP = {256: 1}
_USUAL_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class _Subject:
    """One thing that is measured, beside the floor of this name."""

    name: str
    open_call: Callable[[], AbstractAsyncContextManager[Call]]
    floor: str


@dataclass(frozen=True, slots=True)
class ImageRow:
    """What one subject showed at one concurrency. ``floor_p50`` in seconds."""

    name: str
    upstream: timedelta
    concurrency: int
    seen: Measurement
    floor_p50: float

    @property
    def added_p50(self) -> float:
        """Median seconds over what the upstream took by itself."""
        return self.seen.p50 - self.upstream.total_seconds()


async def measure_images(folder: Path, *, seconds: float, concurrencies: Sequence[int] = CONCURRENCY) -> list[ImageRow]:
    """The floors, and then the chain with each upstream; ``seconds`` is the length of each measurement."""
    rows: list[ImageRow] = []
    async with AsyncExitStack() as stack:
        http_port = await stack.enter_async_context(floor_server("http"))
        grpc_port = await stack.enter_async_context(floor_server("grpc"))
        bare = (
            _Subject(_STREAMED, partial(_chat, http_port, ""), _STREAMED),
            _Subject(_PLAIN, partial(_image, http_port, ""), _PLAIN),
            _Subject("bare grpc.aio, server stream", partial(_echo, grpc_port), _STREAMED),
        )
        await _measure(rows, bare, upstream=timedelta(0), seconds=seconds, concurrencies=concurrencies)
    for latency in LATENCIES:
        async with running_chain(folder / f"upstream-{latency.total_seconds():g}", image_latency=latency) as chain:
            whole = (
                _Subject("whole chain, streamed chat image", partial(_chat, chain.port, chain.api_key), _STREAMED),
                _Subject("whole chain, plain image", partial(_image, chain.port, chain.api_key), _PLAIN),
            )
            await _measure(rows, whole, upstream=latency, seconds=seconds, concurrencies=concurrencies)
    return rows


async def _measure(
    rows: list[ImageRow],
    subjects: Sequence[_Subject],
    *,
    upstream: timedelta,
    seconds: float,
    concurrencies: Sequence[int],
) -> None:
    """Add a row for each subject at each concurrency; a floor comes before what stands beside it."""
    for subject in subjects:
        for concurrency in concurrencies:
            warm_up = _WARM_UP.get(concurrency, _USUAL_WARM_UP)
            seen = await measure(subject.open_call, concurrency=concurrency, seconds=seconds, warm_up=warm_up)
            floor = next(
                (row.seen.p50 for row in rows if (row.name, row.concurrency) == (subject.floor, concurrency)), seen.p50
            )
            rows.append(ImageRow(subject.name, upstream, concurrency, seen, floor))


def image_lines(rows: Sequence[ImageRow]) -> list[str]:
    """The table."""
    lines = [
        "| what | upstream ms | at once | requests/s | p50 ms | p99 ms | p50 added ms | added ÷ floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        upstream = f"{row.upstream.total_seconds() * 1000:.0f}" if row.name.startswith("whole chain") else ""
        lines.append(
            f"| {row.name} | {upstream} | {row.concurrency} | {row.seen.requests_per_second:.0f} "
            f"| {row.seen.p50 * 1000:.1f} | {row.seen.p99 * 1000:.1f} | {row.added_p50 * 1000:.1f} "
            f"| {row.added_p50 / row.floor_p50:.1f} |"
        )
    return lines


def _chat(port: int, bearer: str) -> AbstractAsyncContextManager[Call]:
    return streamed_post("127.0.0.1", port, "/v1/chat/completions", _CHAT, bearer=bearer)


def _image(port: int, bearer: str) -> AbstractAsyncContextManager[Call]:
    return plain_post("127.0.0.1", port, "/v1/images/generations", _IMAGE, bearer=bearer)


@asynccontextmanager
async def _echo(port: int) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(floors.ECHO_METHOD)

        async def call() -> None:
            received = 0
            async for _ in method(b"x" * 200):
                received += 1
            if received != floors.EVENTS:
                raise RuntimeError(f"{received} messages instead of {floors.EVENTS}")

        yield call
