"""Owned tasks report their failures; services stop by signal and by failure."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from flow2api_common.lifecycle import BackgroundTasks, run_until_signal
from flow2api_testing.waiting import eventually


async def never() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ValueError("broken")


class TestBackgroundTasks:
    async def test_a_failure_is_raised_by_wait(self) -> None:
        async with BackgroundTasks() as tasks:
            tasks.start("fine", never())
            tasks.start("broken", fail())
            with pytest.raises(ValueError, match="broken"):
                await tasks.wait()

    async def test_a_failure_before_wait_is_not_lost(self) -> None:
        async with BackgroundTasks() as tasks:
            failed = tasks.start("broken", fail())
            await eventually(failed.done)
            with pytest.raises(ValueError, match="broken"):
                await tasks.wait()

    async def test_a_failure_leaves_the_others_running(self) -> None:
        async with BackgroundTasks() as tasks:
            other = tasks.start("other", never())
            await eventually(tasks.start("broken", fail()).done)
            assert not other.done()

    async def test_leaving_cancels_again_who_swallowed_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flow2api_common.lifecycle._CANCEL_AGAIN", timedelta(milliseconds=20))
        started = asyncio.Event()

        async def stubborn() -> None:
            started.set()
            with suppress(asyncio.CancelledError):
                await never()
            await never()

        async with BackgroundTasks() as tasks:
            task = tasks.start("stubborn", stubborn())
            await started.wait()
        assert task.cancelled()

    async def test_leaving_cancels_and_waits_for_cleanup(self) -> None:
        cleaned: list[str] = []
        started = asyncio.Event()

        async def work() -> None:
            started.set()
            try:
                await never()
            finally:
                await asyncio.sleep(0)
                cleaned.append("up")

        async with BackgroundTasks() as tasks:
            task = tasks.start("work", work())
            await started.wait()
        assert cleaned == ["up"]
        assert task.get_name() == "work"

    async def test_a_task_may_end_by_itself(self) -> None:
        done: list[int] = []

        async def once() -> None:
            done.append(1)

        async with BackgroundTasks() as tasks:
            task = tasks.start("once", once())
            waiting = tasks.start("waiting", tasks.wait())
            await eventually(task.done)
            assert not waiting.done()
        assert done == [1]


@dataclass
class Service:
    name: str = "sample"
    address: str = ""
    failure: asyncio.Event = field(default_factory=asyncio.Event)
    events: list[str] = field(default_factory=list)

    async def wait(self) -> None:
        await self.failure.wait()
        raise RuntimeError("component failed")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        self.events.append("in")
        try:
            yield self
        finally:
            self.events.append("out")


class TestRunUntilSignal:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_leaves_the_services(self, number: signal.Signals) -> None:
        service = Service()
        running = asyncio.create_task(run_until_signal(service.running))
        await eventually(lambda: service.events == ["in"])
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 10)
        assert service.events == ["in", "out"]

    async def test_a_failure_leaves_the_services_and_is_raised(self) -> None:
        service = Service()
        service.failure.set()
        with pytest.raises(RuntimeError, match="component failed"):
            await run_until_signal(service.running)
        assert service.events == ["in", "out"]

    async def test_a_signal_while_starting_stops_the_start(self) -> None:
        events: list[str] = []

        @asynccontextmanager
        async def starting() -> AsyncIterator[list[Service]]:
            events.append("starting")
            try:
                await never()
                yield []
            finally:
                events.append("undone")

        running = asyncio.create_task(run_until_signal(starting))
        await eventually(lambda: events == ["starting"])
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 10)
        assert events == ["starting", "undone"]

    async def test_cancelling_it_leaves_the_services(self) -> None:
        service = Service()
        running = asyncio.create_task(run_until_signal(service.running))
        await eventually(lambda: service.events == ["in"])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert service.events == ["in", "out"]


HANGING_PROGRAM = """
import asyncio
from contextlib import asynccontextmanager, suppress
from flow2api_common.lifecycle import run_until_signal

@asynccontextmanager
async def hanging():
    print("in", flush=True)
    try:
        await asyncio.Event().wait()
        yield []
    finally:
        print("leaving", flush=True)
        await asyncio.Event().wait()

asyncio.run(run_until_signal(hanging))
"""


@pytest.fixture
def hanging_program() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HANGING_PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:  # noqa: S603 - our own text
        yield program
        program.kill()


def test_a_second_signal_exits_at_once(hanging_program: subprocess.Popen[str]) -> None:
    output = hanging_program.stdout
    assert output is not None
    assert output.readline() == "in\n"
    hanging_program.send_signal(signal.SIGTERM)
    while output.readline() != "leaving\n":
        assert hanging_program.poll() is None
    hanging_program.send_signal(signal.SIGINT)
    assert hanging_program.wait(10) == 128 + signal.SIGINT
