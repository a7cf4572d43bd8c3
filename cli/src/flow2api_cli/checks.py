"""Whether the things that Flow2API needs are there and answer. No check prints or raises a secret."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from flow2api_cli.child_process import ChildFailed
from flow2api_cli.private_servers import nats_executable, redis_executable
from flow2api_common.settings import load_settings
from flow2api_upstream.settings import UpstreamSettings

_CHECK_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One finding; ``detail`` is for people."""

    name: str
    is_ok: bool
    detail: str


async def run_check(name: str, check: Callable[[], Awaitable[str]]) -> CheckResult:
    """Run one check; what it returns is the good news, what it raises the bad."""
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_SECONDS):
            return CheckResult(name, is_ok=True, detail=await check())
    except TimeoutError:
        return CheckResult(name, is_ok=False, detail=f"no answer in {_CHECK_TIMEOUT_SECONDS:g} s")
    except (OSError, RuntimeError, ChildFailed, httpx.HTTPError) as exc:
        return CheckResult(name, is_ok=False, detail=str(exc) or type(exc).__name__)


async def state_directory(root: Path) -> str:
    """The state directory, or the place where it will be made, is writable."""
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise RuntimeError(f"{existing} is not a directory that we can write to")
    return str(root) if existing == root else f"{root} (will be made)"


async def redis_program() -> str:
    """A redis-server that is new enough."""
    return redis_executable()


async def nats_program() -> str:
    """A nats-server."""
    return nats_executable()


async def tcp_server(url: str) -> str:
    """Something accepts connections where ``url`` points; the answer holds no credentials."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        _reader, writer = await asyncio.open_unix_connection(parts.path)
        place = parts.path
    else:
        port = parts.port or {"redis": 6379, "rediss": 6379, "nats": 4222, "tls": 4222}.get(parts.scheme, 5432)
        _reader, writer = await asyncio.open_connection(parts.hostname, port)
        place = f"{parts.hostname}:{port}"
    writer.close()
    return f"{place} accepts connections"


async def http_server(url: str) -> str:
    """An HTTP server answers at ``url``, whatever it answers."""
    async with httpx.AsyncClient(timeout=_CHECK_TIMEOUT_SECONDS, follow_redirects=False) as client:
        response = await client.get(url)
    return f"{urlsplit(url).netloc} answers ({response.status_code})"


async def gateway_ready(url: str, *, must_run: bool) -> str:
    """A gateway at ``url`` says that it is ready; unless it must run, none is fine too."""
    async with httpx.AsyncClient(timeout=_CHECK_TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            response = await client.get(f"{url.rstrip('/')}/readyz")
        except httpx.ConnectError:
            if must_run:
                raise
            return f"none runs at {url}"
    if response.is_error:
        raise RuntimeError(f"{url} answers, but is not ready ({response.status_code})")
    return f"{url} is ready"


def upstream_urls() -> dict[str, str]:
    """The upstreams by name, as the settings say."""
    settings = load_settings(UpstreamSettings)
    return {
        "Flow sessions": settings.flow_labs_url,
        "Flow API": settings.flow_api_url,
        "Gemini API": settings.gemini_url,
    }
