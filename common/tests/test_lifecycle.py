"""Owned tasks report their failures and end with their owner."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from flow2api_common.lifecycle import BackgroundTasks, end_tasks
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


class TestEndTasks:
    async def test_leaves_behind_what_does_not_end_and_says_so(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("flow2api_common.lifecycle._CANCEL_AGAIN", timedelta(milliseconds=1))
        may_end = asyncio.Event()

        async def deaf() -> None:
            while not may_end.is_set():
                with suppress(asyncio.CancelledError):
                    await may_end.wait()

        task = asyncio.create_task(deaf(), name="deaf-task")
        await asyncio.sleep(0)
        await end_tasks([task])
        assert not task.done()
        assert "deaf-task" in capsys.readouterr().out
        may_end.set()
        await task

    async def test_raises_no_failure_of_a_task(self) -> None:
        async def fails_at_its_end() -> None:
            try:
                await never()
            finally:
                raise ZeroDivisionError

        task = asyncio.create_task(fails_at_its_end())
        await asyncio.sleep(0)
        await end_tasks([task])
        assert isinstance(task.exception(), ZeroDivisionError)
