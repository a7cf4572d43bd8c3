"""Clients that send or read slowly: they are cut, and hold nothing meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from flow2api_gateway.composition import running_gateway
from flow2api_proto.generation.v1 import video_pb2
from flow2api_testing.waiting import eventually

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-good-key-0123456789\r\n"
    b"content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
)
SHORT = timedelta(milliseconds=200)


@asynccontextmanager
async def connected(world: Any, **settings: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with running_gateway(world.with_settings(**settings)) as gateway:
        host, _, port = gateway.address.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            yield reader, writer
        finally:
            writer.close()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Everything until the gateway closes the connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"GET /v1/models HTT", b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: "])
async def test_a_head_that_does_not_come_is_cut(world: Any, sent: bytes) -> None:
    async with connected(world, request_head_timeout=SHORT) as (reader, writer):
        writer.write(sent)
        assert await rest_of(reader) == b""


async def test_a_body_that_stops_is_408(world: Any) -> None:
    async with connected(world, request_body_pause=SHORT, request_head_timeout=SHORT) as (reader, writer):
        writer.write(HEAD + b'{"model"')
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"timeout"' in answer


async def test_a_body_that_drips_is_408_at_its_end(world: Any) -> None:
    async with connected(world, request_body_timeout=SHORT * 2, request_head_timeout=SHORT) as (reader, writer):
        writer.write(HEAD)
        async with asyncio.timeout(10):
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b" ")
                try:
                    async with asyncio.timeout(0.05):
                        answer = await reader.read(4000)
                except TimeoutError:
                    continue
                break
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_the_body_of_a_refused_request_is_not_waited_for(world: Any) -> None:
    async with connected(world, request_head_timeout=SHORT) as (reader, writer):
        writer.write(HEAD.replace(b"sk-good", b"sk-wrong"))
        answer = await rest_of(reader)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "endless",
    [b"GET /", b"GET /v1/models HTTP/1.1\r\nhost: a\r\nx: ", b"GET /v1/models HTTP/1.1\r\nhost: a\r\n"],
    ids=["url", "one header", "many headers"],
)
async def test_a_head_without_end_is_refused_at_its_limit(world: Any, endless: bytes) -> None:
    line = b"x: " + b"a" * 1000 + b"\r\n" if endless.endswith(b"\n") else b"a" * 1000
    async with connected(world) as (reader, writer):
        writer.write(endless)
        answer = asyncio.create_task(rest_of(reader))
        with suppress(ConnectionError):
            for _ in range(2000):
                writer.write(line)
                await writer.drain()
                if answer.done():
                    break
        head, _, body = (await answer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert b"x-request-id: req" in head
    assert json.loads(body)["error"]["code"] == "request_head_too_large"


async def test_what_is_no_http_is_refused_as_everything_else(world: Any) -> None:
    async with connected(world) as (reader, writer):
        writer.write(b"\x16\x03\x01\r\n\r\n")
        head, _, body = (await rest_of(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head
    assert json.loads(body)["error"]["code"] == "invalid_value"


async def test_trailers_are_no_headers_and_end(world: Any) -> None:
    start = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n"
    async with connected(world) as (reader, writer):
        writer.write(start + b"connection: close\r\n\r\n0\r\nauthorization: Bearer sk-good-key-0123456789\r\n\r\n")
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 401 ")
    async with connected(world) as (reader, writer):
        writer.write(start + b"authorization: Bearer sk-good-key-0123456789\r\n\r\n2\r\n{}\r\n0\r\n")
        answer = asyncio.create_task(rest_of(reader))
        with suppress(ConnectionError):
            while not answer.done():
                writer.write(b"x: " + b"a" * 1000 + b"\r\n")
                await writer.drain()
        assert b" 431 " in (await answer)[:20] or reader.at_eof()


async def test_empty_lines_do_not_keep_a_connection(world: Any) -> None:
    async with connected(world, request_head_timeout=SHORT) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.readuntil(b'{"status":"ok"}')
        writer.write(b"\r\n")
        assert await rest_of(reader) == b""


async def test_an_answer_that_is_not_read_is_cut(world: Any) -> None:
    size = 64 << 20
    media = await world.generation.add_media("clip1", bytes(size), "video/mp4")
    world.generation.videos["video_1"] = video_pb2.Video(
        video_id="video_1", state=video_pb2.VIDEO_STATE_COMPLETED, media=media
    )
    request = b"GET /v1/videos/video_1/content HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %b\r\n\r\n"
    async with running_gateway(world.with_settings(answer_unread_timeout=SHORT)) as gateway:
        connections = gateway.server._server.server_state.connections
        with socket.create_connection(("127.0.0.1", int(gateway.address.rpartition(":")[2]))) as client:
            client.sendall(request % b"sk-good-key-0123456789")
            await eventually(lambda: len(connections) == 1)
            await eventually(lambda: not connections)
            client.setblocking(False)
            seen = 0
            with suppress(ConnectionResetError, BlockingIOError):
                while chunk := client.recv(1 << 20):
                    seen += len(chunk)
    assert 0 <= seen < size


async def test_a_kept_connection_serves_again_after_a_pause(world: Any) -> None:
    async with connected(world, request_head_timeout=timedelta(seconds=5)) as (reader, writer):
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            async with asyncio.timeout(10):
                answer = await reader.readuntil(b'{"status":"ok"}')
            assert answer.startswith(b"HTTP/1.1 200 ")
