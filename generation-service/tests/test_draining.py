"""Work that outlives its request has an owner who waits for it, but not for ever."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from flow2api_generation_service.draining import DrainingTasks


async def test_waits_for_work_and_what_it_starts() -> None:
    done: list[str] = []

    async def last() -> None:
        done.append("last")

    async with DrainingTasks(timedelta(seconds=10)) as tasks:

        async def first() -> None:
            await asyncio.sleep(0)
            tasks.start("last", last())
            done.append("first")

        tasks.start("first", first())
    assert done == ["first", "last"]


async def test_cancels_what_takes_longer_and_lets_it_clean_up() -> None:
    cleaned: list[str] = []

    async def clean() -> None:
        cleaned.append("released")

    async with DrainingTasks(timedelta(milliseconds=20)) as tasks:

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                tasks.start("clean", clean())

        task = tasks.start("endless", endless())
    assert task.cancelled()
    assert cleaned == ["released"]


async def test_failure_takes_nothing_else_down() -> None:
    done = asyncio.Event()

    async def fail() -> None:
        raise ValueError("broken")

    async def work() -> None:
        await asyncio.sleep(0)
        done.set()

    async with DrainingTasks(timedelta(seconds=10)) as tasks:
        tasks.start("fail", fail())
        tasks.start("work", work())
    assert done.is_set()
