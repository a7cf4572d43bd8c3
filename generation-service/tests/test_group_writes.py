"""Group commit: fewer transactions, and for each write the same as if it were alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from flow2api_common.errors import CapacityError, DependencyUnavailable, Flow2APIError, InternalError
from flow2api_generation_service.draining import DrainingTasks
from flow2api_generation_service.group_writes import GroupWrites, Outcome


class Pen:
    """Writes strings; each transaction ends when it may."""

    def __init__(self, background: DrainingTasks) -> None:
        self.may_commit = asyncio.Event()
        self.groups: list[list[str]] = []
        self.written: list[str] = []
        self.error: Flow2APIError | None = None
        self.group = GroupWrites("test", self._write, background=background)

    async def _write(self, items: Sequence[str]) -> list[Outcome]:
        self.groups.append(list(items))
        await self.may_commit.wait()
        if self.error is not None:
            raise self.error
        if "poison" in items:
            raise ValueError("poison")
        self.written += [each for each in items if each != "refused"]
        return [CapacityError("full") if each == "refused" else None for each in items]

    def start(self, *items: str) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.group.write(each)) for each in items]


@pytest.fixture
async def background() -> AsyncIterator[DrainingTasks]:
    async with DrainingTasks(timedelta(seconds=5)) as tasks:
        yield tasks


@pytest.fixture
def pen(background: DrainingTasks) -> Pen:
    return Pen(background)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_comes_during_a_transaction_goes_into_the_next_one(pen: Pen) -> None:
    (first,) = pen.start("a")
    await settled()
    others = pen.start(*"bcdef")
    await settled()
    assert not any(each.done() for each in (first, *others))
    pen.may_commit.set()
    await asyncio.gather(first, *others)
    assert pen.groups == [["a"], list("bcdef")]
    await pen.group.write("g")
    assert pen.groups[-1] == ["g"]


async def test_one_that_is_refused_or_fails_takes_no_other_with_it(pen: Pen) -> None:
    pen.may_commit.set()
    results = await asyncio.gather(*pen.start("a", "refused", "poison", "b"), return_exceptions=True)
    assert [type(each) for each in results] == [type(None), CapacityError, ValueError, type(None)]
    assert pen.written == ["a", "b"]


async def test_a_database_that_is_away_is_asked_once_for_all(pen: Pen) -> None:
    pen.error = DependencyUnavailable("away", metadata={"dependency": "database"})
    pen.may_commit.set()
    errors = await asyncio.gather(*pen.start("a", "b"), return_exceptions=True)
    assert all(isinstance(each, DependencyUnavailable) for each in errors)
    assert pen.groups == [["a", "b"]]
    # Callers note in it what is true of theirs.
    assert len({id(each) for each in errors}) == 2
    pen.error = None
    await pen.group.write("a")
    assert pen.written == ["a"]


async def test_who_gives_up_before_the_transaction_is_not_written(pen: Pen) -> None:
    (first,) = pen.start("a")
    await settled()
    given_up, kept = pen.start("b", "c")
    await settled()
    given_up.cancel()
    await settled()
    assert given_up.cancelled()
    pen.may_commit.set()
    await asyncio.gather(first, kept)
    assert pen.written == ["a", "c"]


async def test_who_gives_up_during_the_transaction_learns_it_at_its_end(pen: Pen) -> None:
    (first,) = pen.start("a")
    await settled()
    first.cancel()
    await settled()
    assert not first.done()
    pen.may_commit.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pen.written == ["a"]


async def test_nobody_waits_for_ever_at_the_end_of_the_service() -> None:
    background = DrainingTasks(timedelta(0))
    pen = Pen(background)
    tasks = pen.start("a")
    await settled()
    tasks += pen.start("b")
    await settled()
    await background.drain()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in errors] == [InternalError, InternalError]
