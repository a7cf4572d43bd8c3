"""Signals: the first one stops in order, the second one at once."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from flow2api_cli.running import run_until_stopped

PROGRAM = """
import asyncio, sys
from flow2api_cli.running import run_until_stopped

async def program():
    try:
        print("up", flush=True)
        await asyncio.sleep(600)
    finally:
        print("cleaning", flush=True)
        await asyncio.sleep({cleanup_seconds})
        print("clean", flush=True)

sys.exit(run_until_stopped(program()))
"""


@asynccontextmanager
async def running(cleanup_seconds: float) -> AsyncIterator[tuple[Process, Callable[[], Coroutine[None, None, str]]]]:
    source = PROGRAM.format(cleanup_seconds=cleanup_seconds)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    stdout = process.stdout

    async def line() -> str:
        return (await stdout.readline()).decode().strip()

    assert await line() == "up"
    yield process, line
    assert process.returncode is not None, "the test must end the program"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_first_signal_cleans_up_and_succeeds(number: signal.Signals) -> None:
    async with running(cleanup_seconds=0) as (process, line):
        process.send_signal(number)
        assert (await line(), await line()) == ("cleaning", "clean")
        assert await process.wait() == 0


async def test_second_signal_ends_at_once() -> None:
    async with running(cleanup_seconds=600) as (process, line):
        process.send_signal(signal.SIGINT)
        assert await line() == "cleaning"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


def test_program_that_ends_by_itself_succeeds() -> None:
    assert run_until_stopped(asyncio.sleep(0)) == 0


def test_error_of_the_program_comes_out() -> None:
    async def program() -> None:
        raise ConnectionError("the disk is full")

    with pytest.raises(ConnectionError, match="the disk is full"):
        run_until_stopped(program())
