"""A thousand clients that wait: what they cost, and that all of them are kept alive."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psutil
import pytest

from flow2api_gateway.composition import running_gateway
from flow2api_proto.generation.v1 import video_pb2

STREAMS = 1000
MOST_BYTES = 200 << 20
REQUEST = b"GET /v1/videos/video_1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer sk-good-key-0123456789\r\n\r\n"


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of every connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * STREAMS
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"this machine allows {hard} open files; raise the hard limit (ulimit -Hn) to {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.timeout(180)
async def test_a_thousand_idle_streams_are_kept_alive_in_little_memory(world: Any) -> None:
    world.generation.videos["video_1"] = video_pb2.Video(
        video_id="video_1", state=video_pb2.VIDEO_STATE_QUEUED, version=1, api_key_id="key_1"
    )
    process = psutil.Process()
    before = process.memory_info().rss
    async with running_gateway(world.with_settings(heartbeat_interval=timedelta(seconds=2))) as gateway:
        port = int(gateway.address.rpartition(":")[2])
        writers: list[asyncio.StreamWriter] = []

        async def hold() -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
            writers.append(writer)
            writer.write(REQUEST)
            await reader.readuntil(b"event: video.queued")
            for _ in range(2):
                await reader.readuntil(b": keep-alive\n\n")

        try:
            async with asyncio.timeout(150), asyncio.TaskGroup() as clients:
                for _ in range(STREAMS):
                    clients.create_task(hold())
            # The clients' ends and the service behind live in this process too: the gateway's part is less.
            used = process.memory_info().rss - before
            assert used < MOST_BYTES
        finally:
            for writer in writers:
                writer.transport.abort()
