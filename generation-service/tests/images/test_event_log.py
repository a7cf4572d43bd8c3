"""Listeners of a generation see every event, whenever they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from flow2api_common.errors import CapacityError
from flow2api_generation_service.images.events import EventLog
from flow2api_proto.generation.v1 import image_pb2


def event(index: int) -> image_pb2.GenerateImageResponse:
    return image_pb2.GenerateImageResponse(generation_id="image_1", image_index=index)


async def indexes(log: EventLog) -> list[int]:
    return [each.image_index async for each in log.follow()]


async def test_early_and_late_listeners_see_the_same() -> None:
    log = EventLog(lambda: None)
    early = asyncio.create_task(indexes(log))
    await asyncio.sleep(0)
    for index in range(3):
        log.add(event(index))
        await asyncio.sleep(0)
    middle = asyncio.create_task(indexes(log))
    await asyncio.sleep(0)
    log.add(event(3))
    log.end()
    assert await early == await middle == await indexes(log) == [0, 1, 2, 3]


async def test_error_is_raised_to_everybody() -> None:
    log = EventLog(lambda: None)
    log.add(event(0))
    log.end(CapacityError("busy"))
    for _ in range(2):
        with pytest.raises(CapacityError):
            await indexes(log)


async def test_only_the_last_listener_who_leaves_early_deserts_it() -> None:
    deserted: list[bool] = []
    log = EventLog(lambda: deserted.append(True))
    log.add(event(0))
    async with aclosing(log.follow()) as first, aclosing(log.follow()) as second:
        await anext(first)
        await anext(second)
        await first.aclose()
        assert deserted == []
        assert not log.is_deserted
    assert deserted == [True]
    assert log.is_deserted


async def test_listening_to_the_end_deserts_nothing() -> None:
    deserted: list[bool] = []
    log = EventLog(lambda: deserted.append(True))
    log.end()
    assert await indexes(log) == []
    assert deserted == []
