"""The processes that a benchmark measures: the floors, the sandbox and the all-in-one mode."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

_START_TIMEOUT_SECONDS = 180.0
_TOKENS = 3


@dataclass(frozen=True, slots=True)
class Chain:
    """A running all-in-one mode with tokens in its pool."""

    port: int
    api_key: str


@asynccontextmanager
async def floor_server(kind: str) -> AsyncIterator[int]:
    """One of the bare floors as a process; gives its port."""
    async with running_process(sys.executable, str(Path(__file__).with_name("floors.py")), kind) as process:
        yield int(await first_line(process))


@asynccontextmanager
async def running_chain(folder: Path, *, image_latency: timedelta = timedelta(0)) -> AsyncIterator[Chain]:
    """The sandbox and the all-in-one mode over it, each a process, with accounts without limits.

    The sandbox takes ``image_latency`` for a picture, and no time for anything else.
    """
    speed = {
        "FLOW2API_SANDBOX_IMAGE_LATENCY": str(image_latency.total_seconds()),
        "FLOW2API_SANDBOX_UPLOAD_LATENCY": "0",
        "FLOW2API_SANDBOX_RENDER_PROMPT": "false",
    }
    async with running_process(sys.executable, "-m", "flow2api_sandbox", "--port", "0", env=speed) as sandbox:
        urls = json.loads(await first_line(sandbox))
        port = free_port()
        api_key, password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        settings = {
            "FLOW2API_STATE_DIR": str(folder / "state"),
            "FLOW2API_PORT": str(port),
            "FLOW2API_API_KEY": api_key,
            "FLOW2API_ADMIN_USERNAME": "admin",
            "FLOW2API_ADMIN_PASSWORD": password,
            "FLOW2API_LOG_LEVEL": "warning",
            "FLOW2API_FLOW_LABS_URL": urls["flow_labs_url"],
            "FLOW2API_FLOW_API_URL": urls["flow_api_url"],
            "FLOW2API_GEMINI_URL": urls["gemini_url"],
        }
        flow2api = str(Path(sys.executable).with_name("flow2api"))
        async with running_process(flow2api, "up", env=settings):
            base_url = f"http://127.0.0.1:{port}"
            await _until_ready(base_url)
            await _add_tokens(base_url, password)
            yield Chain(port=port, api_key=api_key)


async def _add_tokens(base_url: str, password: str) -> None:
    async with httpx.AsyncClient(base_url=base_url, timeout=30) as client:
        login = await client.post("/admin/login", json={"username": "admin", "password": password})
        login.raise_for_status()
        client.headers["authorization"] = f"Bearer {login.json()['token']}"
        for number in range(1, _TOKENS + 1):
            body = {"st": f"sandbox-st-{number}", "image_concurrency": -1, "video_concurrency": -1}
            (await client.post("/admin/tokens", json=body)).raise_for_status()


async def _until_ready(base_url: str) -> None:
    async with asyncio.timeout(_START_TIMEOUT_SECONDS), httpx.AsyncClient(base_url=base_url) as client:
        while True:
            try:
                if (await client.get("/readyz")).is_success:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet.
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running_process(
    *command: str, env: Mapping[str, str] | None = None, longest_line: int = 2**16
) -> AsyncIterator[Process]:
    """A process with pipes to its input and output, stopped on leaving."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env={**os.environ, **(env or {})}, limit=longest_line
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(15):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def first_line(process: Process, *, timeout_seconds: float = _START_TIMEOUT_SECONDS) -> str:
    """The next thing that a process says, e.g. that it listens. Raises RuntimeError when it ends before."""
    assert process.stdout is not None
    async with asyncio.timeout(timeout_seconds):
        line = (await process.stdout.readline()).decode()
    if not line:
        raise RuntimeError("a process of the benchmark ended before it listened")
    return line


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
