"""The server fixtures give real, empty servers."""

import asyncio
import sqlite3

import nats
import pytest
import redis.asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from flow2api_testing.waiting import eventually


@pytest.mark.parametrize("key", ["first", "second"])
async def test_each_test_finds_redis_empty(redis_url: str, key: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.keys() == []
        await client.set(key, "1")


@pytest.mark.parametrize("name", ["first", "second"])
async def test_each_test_finds_nats_without_streams(nats_url: str, name: str) -> None:
    client = await nats.connect(nats_url)
    try:
        jetstream = client.jetstream()
        assert await jetstream.streams_info() == []
        await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
    finally:
        await client.close()


@pytest.mark.parametrize("name", ["first", "second"])
async def test_each_test_finds_an_empty_database(database_url: str, name: str) -> None:
    engine = create_async_engine(database_url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE only_one (id INTEGER)"))
            assert (await connection.execute(text("SELECT count(*) FROM only_one"))).scalar_one() == 0
    finally:
        await engine.dispose()


def test_sqlite_url_names_a_file_that_can_be_made(sqlite_url: str) -> None:
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite+aiosqlite:///"))
    assert connection.execute("PRAGMA user_version").fetchone() == (0,)
    connection.close()


class TestEventually:
    async def test_gives_the_first_truthy_answer(self) -> None:
        answers = iter([0, None, 7])
        assert await eventually(lambda: next(answers)) == 7

    async def test_takes_coroutine_functions(self) -> None:
        async def check() -> str:
            await asyncio.sleep(0)
            return "yes"

        assert await eventually(check) == "yes"

    async def test_fails_with_the_last_error(self) -> None:
        def check() -> bool:
            raise ConnectionError("the server is away")

        with pytest.raises(AssertionError, match="the server is away"):
            await eventually(check, timeout=0.05)

    async def test_fails_when_the_answer_stays_false(self) -> None:
        with pytest.raises(AssertionError, match="last answer: 0"):
            await eventually(lambda: 0, timeout=0.05)
