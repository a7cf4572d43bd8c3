"""Private servers keep what they are told across restarts and let nobody else in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import nats
import redis.asyncio

from flow2api_cli.private_servers import MAX_SOCKET_PATH_BYTES, private_nats, private_redis, short_runtime_directory


async def test_redis_finds_its_keys_again(tmp_path: Path) -> None:
    async with private_redis(tmp_path) as server, redis.asyncio.from_url(server.url) as client:
        await client.set("kept", "yes")
    async with private_redis(tmp_path) as server, redis.asyncio.from_url(server.url) as client:
        assert await client.get("kept") == b"yes"


async def test_redis_that_was_killed_finds_its_keys_again(tmp_path: Path) -> None:
    async with private_redis(tmp_path) as server, redis.asyncio.from_url(server.url) as client:
        await client.set("kept", "yes")
        await client.aclose()
        server.process._process.kill()
    async with private_redis(tmp_path) as server, redis.asyncio.from_url(server.url) as client:
        assert await client.get("kept") == b"yes"


async def test_nats_finds_its_streams_again(tmp_path: Path) -> None:
    async with private_nats(tmp_path) as server:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept.>"])
        await client.jetstream().publish("kept.one", b"message")
        await client.close()
    async with private_nats(tmp_path) as server:
        client = await nats.connect(server.url)
        assert (await client.jetstream().get_last_msg("KEPT", "kept.one")).data == b"message"
        await client.close()


async def test_nats_refuses_a_client_without_its_password(tmp_path: Path) -> None:
    async with private_nats(tmp_path) as server:
        host, _, port = server.url.rpartition("@")[2].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"CONNECT {}\r\nPING\r\n")
        assert b"Authorization Violation" in await reader.read(-1)
        writer.close()
        await writer.wait_closed()


async def test_password_is_neither_shown_nor_readable_by_others(tmp_path: Path) -> None:
    async with private_nats(tmp_path) as server:
        password = server.url.split(":")[2].partition("@")[0]
        assert password not in repr(server)
        config = tmp_path / "nats.conf"
        assert password in config.read_text()
        assert config.stat().st_mode & 0o077 == 0


async def test_redis_serves_from_a_deep_directory(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    async with private_redis(deep) as server, redis.asyncio.from_url(server.url) as client:
        assert await client.ping()
        assert len(server.url.removeprefix("unix://")) <= MAX_SOCKET_PATH_BYTES


def test_runtime_directory_of_a_deep_place_is_short_private_and_temporary(tmp_path: Path) -> None:
    with short_runtime_directory(tmp_path / ("d" * 100)) as directory:
        assert directory.stat().st_mode & 0o077 == 0
        assert len(str(directory / "generation.sock")) <= MAX_SOCKET_PATH_BYTES
    assert not directory.exists()
