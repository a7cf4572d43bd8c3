"""Turns by bytes: never more than the limit, in the order of coming, and given back whatever happens."""

from __future__ import annotations

import asyncio

import pytest

from flow2api_common.byte_turns import ByteTurns


class Work:
    """Something that takes its turn, and says when it has it."""

    def __init__(self, turns: ByteTurns, size_bytes: int) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, size_bytes))

    async def _run(self, turns: ByteTurns, size_bytes: int) -> None:
        async with turns.turn(size_bytes):
            self.began.set()
            await self.may_end.wait()

    async def end(self) -> None:
        self.may_end.set()
        await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_only_what_fits_is_under_way_in_the_order_of_coming() -> None:
    turns = ByteTurns(100)
    first, second, large, small = (Work(turns, size) for size in (40, 40, 60, 10))
    await settled()
    assert [each.began.is_set() for each in (first, second, large, small)] == [True, True, False, False]
    assert turns.taken_bytes == 80
    await first.end()
    await settled()
    # Small ones do not overtake, so that large ones get their turn.
    assert [each.began.is_set() for each in (large, small)] == [True, False]
    for each in (second, large, small):
        await each.end()
    assert turns.taken_bytes == 0


async def test_what_is_larger_than_the_limit_has_its_turn_alone() -> None:
    turns = ByteTurns(100)
    small, huge, other = Work(turns, 1), Work(turns, 5000), Work(turns, 1)
    await settled()
    assert not huge.began.is_set()
    await small.end()
    await settled()
    assert (huge.began.is_set(), other.began.is_set()) == (True, False)
    await huge.end()
    await other.end()
    assert turns.taken_bytes == 0


async def test_who_gives_up_while_waiting_makes_room_for_those_behind() -> None:
    turns = ByteTurns(100)
    first, large, small = Work(turns, 50), Work(turns, 80), Work(turns, 50)
    await settled()
    large.task.cancel()
    await settled()
    assert small.began.is_set()
    assert large.task.cancelled()
    await first.end()
    await small.end()
    assert turns.taken_bytes == 0


async def test_who_gives_up_as_the_turn_comes_gives_it_back() -> None:
    turns = ByteTurns(100)
    first, second, third = Work(turns, 100), Work(turns, 100), Work(turns, 100)
    await settled()
    first.may_end.set()
    await first.task
    # The turn is given in the same round of the loop in which it is not wanted any more.
    second.task.cancel()
    await settled()
    assert second.task.cancelled()
    assert third.began.is_set()
    await third.end()
    assert turns.taken_bytes == 0


async def test_a_turn_ends_with_an_error_inside() -> None:
    turns = ByteTurns(10)
    with pytest.raises(ValueError, match="inside"):
        async with turns.turn(10):
            raise ValueError("inside")
    assert turns.taken_bytes == 0
