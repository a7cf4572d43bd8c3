"""Who may try to log in, counted in a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from flow2api_common.errors import CapacityError, DependencyUnavailable
from flow2api_common.settings import load_settings
from flow2api_token_service.access.login_limit import LoginLimit
from flow2api_token_service.access.secrets import SecretHasher
from flow2api_token_service.redis_client import KEY_PREFIX, open_redis
from flow2api_token_service.settings import RedisSettings

HOME, ELSEWHERE = "10.0.0.1", "203.0.113.9"


class PlainHasher(SecretHasher):
    """Keys that can be read."""

    def __init__(self) -> None:
        pass

    def hash(self, secret: str, *, purpose: str) -> str:
        return f"{purpose}/{secret}"


class Door:
    """Logins that are right or wrong."""

    def __init__(self, limit: LoginLimit) -> None:
        self._limit = limit

    async def right(self, name: str = "admin", address: str = HOME) -> None:
        await self._limit.enter(username=name, client_address=address)
        await self._limit.forget(username=name, client_address=address)

    async def wrong(self, *, name: str = "admin", address: str = "", count: int = 10) -> None:
        for number in range(count):
            await self._limit.enter(username=name, client_address=address or f"198.51.100.{number}")

    async def is_closed(self, name: str = "admin", address: str = HOME) -> bool:
        try:
            await self._limit.enter(username=name, client_address=address)
        except CapacityError as error:
            wait = error.retry_after.total_seconds() if error.retry_after else 0
            return error.reason == "TOO_MANY_LOGINS" and 0 < wait <= 900
        return False


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    opened = open_redis(load_settings(RedisSettings, redis_url=redis_url))
    yield opened
    await opened.aclose()


@pytest.fixture
def limit(redis: Redis) -> LoginLimit:
    return LoginLimit(redis=redis, hasher=PlainHasher())


@pytest.fixture
def door(limit: LoginLimit) -> Door:
    return Door(limit)


async def test_ten_wrong_logins_for_a_name_close_it(door: Door) -> None:
    await door.wrong(count=9)
    assert not await door.is_closed()
    assert await door.is_closed(address=ELSEWHERE)
    assert not await door.is_closed("other", ELSEWHERE)


async def test_name_stays_open_where_it_has_logged_in_before(door: Door) -> None:
    await door.right()
    await door.wrong()
    assert await door.is_closed(address=ELSEWHERE)
    assert not await door.is_closed()


async def test_right_login_at_home_does_not_open_the_name_for_outsiders(door: Door) -> None:
    await door.right()
    await door.wrong()
    await door.right()
    assert await door.is_closed(address=ELSEWHERE)


async def test_home_has_ten_tries_of_its_own(door: Door) -> None:
    await door.right()
    await door.wrong(address=HOME)
    assert await door.is_closed()
    assert not await door.is_closed(address=ELSEWHERE)


async def test_right_login_at_home_gives_its_tries_back(door: Door) -> None:
    await door.right()
    for _ in range(3):
        await door.wrong(address=HOME, count=9)
        await door.right()


async def test_home_of_one_name_is_not_that_of_another(door: Door) -> None:
    await door.right("second")
    await door.wrong()
    assert await door.is_closed()


async def test_wrong_names_from_home_close_it_for_strangers_alone(door: Door) -> None:
    await door.right()
    for number in range(10):
        await door.wrong(name=f"somebody{number}", address=HOME, count=1)
    assert await door.is_closed("nobody")
    assert not await door.is_closed()


async def test_guesses_at_home_count_for_the_address_too(door: Door) -> None:
    await door.right()
    await door.wrong(address=HOME)
    assert await door.is_closed("nobody")


async def test_whole_ipv6_network_is_home(door: Door) -> None:
    await door.right(address="2001:db8:0:1::1")
    await door.wrong()
    assert not await door.is_closed(address="2001:db8:0:1:ffff::2")
    assert await door.is_closed(address="2001:db8:0:2::1")


async def test_unlock_opens_a_name_everywhere(door: Door, limit: LoginLimit) -> None:
    await door.right()
    await door.wrong(address=HOME)
    await door.wrong()
    await limit.unlock(username="admin", client_address="")
    assert not await door.is_closed()
    assert not await door.is_closed(address=ELSEWHERE)


async def test_unlock_opens_an_address(door: Door, limit: LoginLimit) -> None:
    for number in range(10):
        await door.wrong(name=f"somebody{number}", address=ELSEWHERE, count=1)
    assert await door.is_closed(address=ELSEWHERE)
    await limit.unlock(username="", client_address=ELSEWHERE)
    assert not await door.is_closed(address=ELSEWHERE)


async def test_every_key_ends_by_itself(door: Door, redis: Redis) -> None:
    await door.right()
    await door.wrong(count=2)
    await door.wrong(address=HOME, count=2)
    keys = await redis.keys(f"{KEY_PREFIX}:login:*")
    assert keys
    assert [key for key in keys if await redis.pttl(key) <= 0] == []


async def test_nobody_logs_in_while_redis_is_away(unused_tcp_port: int) -> None:
    away = open_redis(load_settings(RedisSettings, redis_url=f"redis://127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(DependencyUnavailable):
        await LoginLimit(redis=away, hasher=PlainHasher()).enter(username="admin", client_address=HOME)
    await away.aclose()
