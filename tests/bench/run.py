"""Measure leases, the whole chain and polling beside floors, in one run, on this machine.

``make bench`` runs it. Everything is on loopback and stops by itself. The tables go to the terminal and, between their
markers, into docs/performance.md. Absolute numbers say little on a shared machine; the ratios to the floors of the same
run say more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

import floors
from http_stream import plain_post, streamed_post
from large_clips import large_clip_lines, measure_large_clips
from leases import lease_lines, measure_leases
from load import Call, Measurement, measure
from polling import SIZES, measure_polling, polling_lines
from report import chain_lines, write_table
from system import Chain, floor_server, running_chain

CONCURRENCY = (1, 16, 64, 256)
CHAT = {
    "model": "gemini-3.1-flash-image-square",
    "stream": True,
    "messages": [{"role": "user", "content": "a lighthouse at dawn"}],
}
IMAGE = {"model": "gemini-3.1-flash-image-square", "prompt": "a lighthouse at dawn", "response_format": "url"}


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that is measured, beside the floor of this name."""

    name: str
    open_call: Callable[[], AbstractAsyncContextManager[Call]]
    floor: str


STREAMED = "bare FastAPI, streamed"
PLAIN = "bare FastAPI, plain"
PARTS = ("leases", "chain", "polling", "clips")


async def main(arguments: argparse.Namespace) -> None:
    page = None if arguments.no_write else Path(__file__).parents[2] / "docs" / "performance.md"
    title = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"load average {os.getloadavg()[0]:.1f} at the start"
    )
    if "leases" in arguments.only:
        await measure_pools(arguments.seconds, title, page)
    if "chain" in arguments.only:
        await measure_chain(arguments.seconds, title, page)
    if "polling" in arguments.only:
        await measure_pollers(arguments, title, page)
    if "clips" in arguments.only:
        await measure_clips(arguments.clip_bytes, title, page)


async def measure_clips(clip_bytes: int, title: str, page: Path | None) -> None:
    """The memory that large clips take."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        extra = await measure_large_clips(Path(folder), clip_bytes=clip_bytes)
    write_table(large_clip_lines(extra, clip_bytes=clip_bytes), name="large clips", title=title, page=page)


async def measure_pollers(arguments: argparse.Namespace, title: str, page: Path | None) -> None:
    """Our poller beside a naive one."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        rows = await measure_polling(
            Path(folder), sizes=arguments.jobs, spread=arguments.spread, pollers=arguments.pollers
        )
    write_table(polling_lines(rows), name="polling", title=title, page=page)


async def measure_pools(seconds: float, title: str, page: Path | None) -> None:
    """Leases on Redis."""
    with tempfile.TemporaryDirectory(prefix="flow2api-bench-") as folder:
        rows_of_leases = await measure_leases(Path(folder), seconds=seconds)
    write_table(lease_lines(rows_of_leases), name="leases", title=title, page=page)


async def measure_chain(seconds: float, title: str, page: Path | None) -> None:
    """Streamed and plain images through everything, beside the floors."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flow2api-bench-")))
        http_port = await stack.enter_async_context(floor_server("http"))
        grpc_port = await stack.enter_async_context(floor_server("grpc"))
        chain = await stack.enter_async_context(running_chain(folder))
        subjects = (
            Subject(STREAMED, lambda: _http(http_port, ""), STREAMED),
            Subject("bare grpc.aio, server stream", lambda: _echo(grpc_port), STREAMED),
            Subject("whole chain, streamed chat image", lambda: _chat(chain), STREAMED),
            Subject(PLAIN, lambda: _plain(http_port, ""), PLAIN),
            Subject("whole chain, plain image", lambda: _plain(chain.port, chain.api_key), PLAIN),
        )
        rows: dict[str, dict[int, Measurement]] = {}
        for subject in subjects:
            rows[subject.name] = {}
            for concurrency in CONCURRENCY:
                rows[subject.name][concurrency] = await measure(
                    subject.open_call, concurrency=concurrency, seconds=seconds, warm_up=3 if concurrency <= 64 else 1
                )
        write_table(
            chain_lines(rows, floors={subject.name: subject.floor for subject in subjects}),
            name="chat images",
            title=title,
            page=page,
        )


def _http(port: int, bearer: str) -> AbstractAsyncContextManager[Call]:
    return streamed_post("127.0.0.1", port, "/v1/chat/completions", CHAT, bearer=bearer)


def _plain(port: int, bearer: str) -> AbstractAsyncContextManager[Call]:
    return plain_post("127.0.0.1", port, "/v1/images/generations", IMAGE, bearer=bearer)


def _chat(chain: Chain) -> AbstractAsyncContextManager[Call]:
    return _http(chain.port, chain.api_key)


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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--no-write", action="store_true", help="leave docs/performance.md alone")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="which parts to measure")
    parser.add_argument("--jobs", nargs="+", type=int, default=SIZES, help="polling: how many jobs, in hundreds")
    parser.add_argument("--spread", type=float, default=0.0, help="polling: jobs take 20 s, plus or minus this part")
    parser.add_argument("--pollers", type=int, default=1, help="polling: replicas of our poller")
    parser.add_argument("--clip-bytes", type=int, default=200_000_000, help="clips: size of each")
    sys.exit(asyncio.run(main(parser.parse_args())))
