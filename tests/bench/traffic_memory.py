"""The memory that the services take while many clients fetch clips, and while many send pictures, all at once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from flow2api_testing.large_clips import make_clip
from flow2api_testing.peak_memory import PeakMemory
from flow2api_testing.postgres import running_postgres
from flow2api_testing.systems import API_KEY, System, distributed_system

CLIENTS = 100
CLIP_BYTES = 50_000_000
PICTURE_BYTES = 10_000_000
_CLIP_MODEL = "veo_3_1_t2v_fast_landscape"
_PICTURE_MODEL = "gemini-3.1-flash-image-square"
_FIELDS = {"model": _PICTURE_MODEL, "prompt": "a frame of gold", "response_format": "url"}
_BLOCK_BYTES = 256 * 1024
_TIMEOUT_SECONDS = 240.0
_BOUNDARY = "flow2api-bench-7f1c"
_MEBIBYTE = 1024 * 1024
_CHANNELS = 3

Client = Callable[[asyncio.Barrier], Coroutine[Any, Any, int]]
"""One client; waits at the barrier for the others half way, and gives how many bytes of its own it moved."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The body of an edit."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class TrafficMemory:
    """What the processes had before and at the worst moment, by name, in bytes; and how fast the bytes went."""

    before: Mapping[str, int]
    peak: Mapping[str, int]
    seconds: float
    moved_bytes: int


async def measure_traffic(folder: Path, *, clients: int = CLIENTS) -> dict[str, TrafficMemory]:
    """Four processes over PostgreSQL, Redis and NATS, which have done each thing once before they are watched."""
    context = _system(folder)
    system = await asyncio.to_thread(context.__enter__)
    try:
        path = await _clip_path(system)
        picture = _noisy_picture(PICTURE_BYTES)
        fetched = await _together(system, [_fetcher(system, path)] * clients)
        sent = await _sent_together(system, _edit_form(picture), clients)
        sent_as_json = await _sent_together(system, _edit_json(picture), clients)
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
    return {
        f"{clients} clients fetch clips of {CLIP_BYTES / 1e6:.0f} MB": fetched,
        f"{clients} clients send pictures of {PICTURE_BYTES / 1e6:.0f} MB": sent,
        f"{clients} clients send them inside of JSON": sent_as_json,
    }


def traffic_lines(measured: Mapping[str, TrafficMemory]) -> list[str]:
    """The table."""
    lines = ["| what | MB/s | process | MiB before | MiB at most | more |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for what, seen in measured.items():
        speed = f"{seen.moved_bytes / seen.seconds / 1e6:.0f}"
        for name, before in seen.before.items():
            peak = seen.peak[name]
            lines.append(
                f"| {what} | {speed} | {name} | {before / _MEBIBYTE:.0f} | {peak / _MEBIBYTE:.0f} "
                f"| {(peak - before) / _MEBIBYTE:.0f} |"
            )
    return lines


@contextmanager
def _system(folder: Path) -> Iterator[System]:
    with ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        yield stack.enter_context(distributed_system(folder, postgres, time_scale="0", render_prompt="false"))


async def _clip_path(system: System) -> str:
    """A stored clip of that size; gives the path of its file."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    await asyncio.to_thread(system.sandbox.pad_clips, CLIP_BYTES)
    try:
        async with httpx.AsyncClient(base_url=system.base_url, headers=headers, timeout=60, trust_env=False) as client:
            path = f"/v1/videos/{await make_clip(client, _CLIP_MODEL)}/content"
            await client.get(path, headers={"range": "bytes=0-1"})
            return path
    finally:
        await asyncio.to_thread(system.sandbox.pad_clips, 0)


async def _together(system: System, clients: Sequence[Client]) -> TrafficMemory:
    """Let them begin, meet half way, and end; the processes are watched meanwhile."""
    memory = PeakMemory({name: program.pid for name, program in system.programs.items()})
    barrier = asyncio.Barrier(len(clients))
    began = time.perf_counter()
    async with asyncio.timeout(_TIMEOUT_SECONDS), asyncio.TaskGroup() as group:
        tasks = [group.create_task(client(barrier)) for client in clients]
    seconds = time.perf_counter() - began
    before, peak = memory.before_bytes(), memory.peak_bytes()
    services = list(system.programs)
    return TrafficMemory(
        before={name: before[name] for name in services},
        peak={name: peak[name] for name in services},
        seconds=seconds,
        moved_bytes=sum(task.result() for task in tasks),
    )


async def _sent_together(system: System, edit: Edit, clients: int) -> TrafficMemory:
    """The same edit from all of them, after it was made once."""
    await _together(system, [_uploader(system, edit)])
    return await _together(system, [_uploader(system, edit)] * clients)


def _fetcher(system: System, path: str) -> Client:
    """Fetches the file; from its first block on, when all others have theirs."""

    async def fetch(barrier: asyncio.Barrier) -> int:
        reader, writer = await _connection(system)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n{_head(system)}\r\n".encode())
            status = await reader.readuntil(b"\r\n\r\n")
            if not status.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {status.decode()}")
            await barrier.wait()
            received = 0
            while received < CLIP_BYTES:
                piece = await reader.read(_BLOCK_BYTES)
                if not piece:
                    raise RuntimeError(f"the file ended after {received} bytes")
                received += len(piece)
            return received
        finally:
            writer.close()

    return fetch


def _uploader(system: System, edit: Edit) -> Client:
    """Sends an edit; its last block, when all others have sent all but theirs."""
    body = edit.body

    async def send(barrier: asyncio.Barrier) -> int:
        reader, writer = await _connection(system)
        try:
            head = (
                f"POST /v1/images/edits HTTP/1.1\r\n{_head(system)}"
                f"content-type: {edit.content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode())
            last = len(body) - 100
            view = memoryview(body)
            for start in range(0, last, _BLOCK_BYTES):
                writer.write(view[start : min(start + _BLOCK_BYTES, last)])
                await writer.drain()
            await barrier.wait()
            writer.write(view[last:])
            status = await reader.readuntil(b"\r\n\r\n")
            if not status.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"refused: {status.decode()} {(await reader.read(2000)).decode()}")
            return len(body)
        finally:
            writer.close()

    return send


async def _connection(system: System) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    port = int(system.variables["FLOW2API_PORT"])
    return await asyncio.open_connection("127.0.0.1", port, limit=_BLOCK_BYTES)


def _head(system: System) -> str:
    return f"host: 127.0.0.1:{system.variables['FLOW2API_PORT']}\r\nauthorization: Bearer {API_KEY}\r\n"


def _noisy_picture(size_bytes: int) -> bytes:
    """A PNG of about that size: noise does not get smaller."""
    side = round((size_bytes / _CHANNELS) ** 0.5)
    output = BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * _CHANNELS)).save(output, "PNG", compress_level=0)
    return output.getvalue()


def _edit_form(picture: bytes) -> Edit:
    """The picture as a file of a form."""
    parts = [
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in _FIELDS.items()
    ]
    file_head = (
        f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="image"; filename="noise.png"\r\n'
        "content-type: image/png\r\n\r\n"
    )
    body = b"".join([*parts, file_head.encode(), picture, f"\r\n--{_BOUNDARY}--\r\n".encode()])
    return Edit(f"multipart/form-data; boundary={_BOUNDARY}", body)


def _edit_json(picture: bytes) -> Edit:
    """The picture as a data URL."""
    url = f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
    return Edit("application/json", json.dumps({"image": url, **_FIELDS}).encode())
