"""Everything that a run is about: two of each service, their servers, the upstream, and the network between them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flow2api_chaos.accounts import PlannedAccount
from flow2api_chaos.link import Link, running_link
from flow2api_chaos.plan import process_names
from flow2api_chaos.servers import Killable, Nats, Postgres, Redis
from flow2api_testing.postgres import postgres_cluster
from flow2api_testing.programs import (
    Program,
    SandboxProgram,
    flow2api,
    free_port,
    is_ready,
    run_flow2api,
    sandbox_program,
)

API_KEY = "sk-chaos-0123456789abcdef"
ADMIN_PASSWORD = "password-of-the-run"
DATABASE = "chaos"

_START_TIMEOUT_SECONDS = 180.0
_ATTEMPTS = 5
_SANDBOX = {
    "seed_accounts": "6",
    "seed_api_keys": "5",
    "fast_video_duration": "8",
    "lite_video_duration": "6",
    "quality_video_duration": "10",
    "omni_video_duration": "8",
    "upsample_1080p_duration": "5",
    "upload_latency": "0.2",
    "storing_delay": "0.5",
}
# Patience in the measure of the sandbox's clips. The waits of the rule that an answer may still come stay longer than
# the call itself.
_PATIENCE = {
    "FLOW2API_LOG_LEVEL": "info",
    "FLOW2API_UPSTREAM_IMPERSONATE": "",
    "FLOW2API_UPSTREAM_TIMEOUT": "5",
    "FLOW2API_UPLOAD_TIMEOUT": "8",
    "FLOW2API_VIDEO_SUBMIT_TIMEOUT": "8",
    "FLOW2API_DOWNLOAD_IDLE_TIMEOUT": "5",
    "FLOW2API_VIDEO_SUBMIT_LIMIT": "12",
    "FLOW2API_VIDEO_UNKNOWN_GRACE": "4",
    "FLOW2API_VIDEO_ACK_WAIT": "6",
    "FLOW2API_VIDEO_LEASE_WAIT": "5",
    "FLOW2API_VIDEO_SWEEP_INTERVAL": "2",
    "FLOW2API_VIDEO_OVERDUE_GRACE": "30",
    "FLOW2API_VIDEO_OUTBOX_CLAIM": "4",
    "FLOW2API_VIDEO_POLL_INTERVAL": "1",
    "FLOW2API_POLLER_ACK_WAIT": "6",
    "FLOW2API_POLLER_STORE_PATIENCE": "60",
    "FLOW2API_POLLER_STORE_RETRY": "1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosSystem:
    """What runs. ``parts`` are the processes and servers by name."""

    gateways: tuple[str, ...]
    sandbox: SandboxProgram
    parts: Mapping[str, Killable]
    postgres: Postgres
    redis: Redis
    nats: Nats
    upstream: Link

    async def wait_until_ready(self, timeout_seconds: float = _START_TIMEOUT_SECONDS) -> None:
        """Every part answers."""
        async with asyncio.timeout(timeout_seconds):
            for part in self.parts.values():
                while not await asyncio.to_thread(part.is_ready):  # noqa: ASYNC110 - what is awaited is another process
                    await asyncio.sleep(0.1)


class Process:
    """One replica of a service."""

    def __init__(self, program: Program, gateway_url: str) -> None:
        self._program = program
        self._gateway_url = gateway_url

    def start(self) -> None:
        self._program.start()

    def kill(self) -> None:
        self._program.kill()

    def stop(self) -> None:
        self._program.stop()

    def is_ready(self) -> bool:
        """Of the others the gateways tell."""
        if self._gateway_url:
            return is_ready(self._gateway_url)
        return self._program.is_running


@asynccontextmanager
async def running_system(
    directory: Path, *, replicas: int = 2, accounts: Sequence[PlannedAccount], **sandbox_settings: str
) -> AsyncIterator[ChaosSystem]:
    """Everything at work, with accounts in its pool, until the end of the block; also ``kill -9`` of us ends it."""
    names = process_names(replicas)
    async with AsyncExitStack() as stack:
        sandbox = stack.enter_context(sandbox_program(directory / "sandbox", **{**_SANDBOX, **sandbox_settings}))
        cluster = stack.enter_context(postgres_cluster())
        # Socket paths are at most 107 bytes long.
        runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="f2a-")))
        postgres, nats = Postgres(cluster), Nats(directory / "nats")
        redis = Redis(directory / "redis", runtime)
        servers: dict[str, Killable] = {"postgres": postgres, "nats": nats, "redis": redis}
        for server in servers.values():
            server.start()
            stack.callback(server.stop)
        for server in servers.values():
            await _until_ready(server)
        postgres.server.execute(f"CREATE DATABASE {DATABASE}")
        upstream = await stack.enter_async_context(running_link(_port_of(sandbox.urls["base_url"])))
        ports = {name: free_port() for name in names}
        links = {
            service: await stack.enter_async_context(
                running_link(*(ports[f"{service}-{number}"] for number in range(1, replicas + 1)))
            )
            for service in ("token", "generation")
        }
        variables = _variables(directory, sandbox, upstream, postgres, nats, redis)
        # Before, and not with `serve --migrate`, which ends when the database is away: nobody here starts it again.
        for schema in ("token", "generation"):
            migrated = await asyncio.to_thread(run_flow2api, "migrate", schema, variables=variables, timeout=120)
            assert migrated.returncode == 0, migrated.stderr
        processes = {name: _process(name, variables, ports, links, directory) for name in names}
        for process in processes.values():
            process.start()
            stack.callback(process.stop)
        system = ChaosSystem(
            gateways=tuple(f"http://127.0.0.1:{ports[name]}" for name in names if name.startswith("gateway")),
            sandbox=sandbox,
            parts={**servers, **processes},
            postgres=postgres,
            redis=redis,
            nats=nats,
            upstream=upstream,
        )
        await system.wait_until_ready()
        await asyncio.to_thread(_add_accounts, system, accounts)
        yield system


def _process(
    name: str, variables: Mapping[str, str], ports: Mapping[str, int], links: Mapping[str, Link], directory: Path
) -> Process:
    service = name.partition("-")[0]
    # Others are reached over the network; we listen at our own port.
    addresses = {peer: ports[name] if peer == service else link.port for peer, link in links.items()}
    own = {f"FLOW2API_{peer.upper()}_ADDR": f"127.0.0.1:{port}" for peer, port in addresses.items()}
    own |= {"FLOW2API_PORT": str(ports[name])}
    program = flow2api(name, "serve", service, variables={**variables, **own}, directory=directory)
    return Process(program, f"http://127.0.0.1:{ports[name]}" if service == "gateway" else "")


def _variables(
    directory: Path, sandbox: SandboxProgram, upstream: Link, postgres: Postgres, nats: Nats, redis: Redis
) -> dict[str, str]:
    media = directory / "media"
    media.mkdir(parents=True, exist_ok=True)
    port = _port_of(sandbox.urls["base_url"])
    over_link = {
        name: value.replace(f"127.0.0.1:{port}", f"127.0.0.1:{upstream.port}")
        for name, value in sandbox.settings().items()
    }
    return {
        **over_link,
        **_PATIENCE,
        "FLOW2API_API_KEY": API_KEY,
        "FLOW2API_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "FLOW2API_SECRET_KEY": "secret-key-of-the-run-0123456789",
        "FLOW2API_SERVICE_TOKEN": "service-token-of-the-run",
        "FLOW2API_DATABASE_URL": postgres.server.url(DATABASE),
        "FLOW2API_REDIS_URL": redis.url,
        "FLOW2API_NATS_URL": nats.url,
        "FLOW2API_MEDIA_URL": f"file://{media}",
        "FLOW2API_PUBLIC_URL": "http://127.0.0.1",
    }


@contextmanager
def admin_client(system: ChaosSystem) -> Iterator[httpx.Client]:
    """A client that is logged in to the administration."""
    with httpx.Client(base_url=system.gateways[0], timeout=60, trust_env=False) as admin:
        answer = admin.post("/admin/login", json={"username": "admin", "password": ADMIN_PASSWORD})
        admin.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"
        yield admin


def _add_accounts(system: ChaosSystem, accounts: Sequence[PlannedAccount]) -> None:
    with admin_client(system) as admin:
        for account in accounts:
            _add(admin, account.creation(system.sandbox.urls["control_url"]))


def _add(admin: httpx.Client, account: Mapping[str, Any]) -> None:
    """The upstream is asked for each, within a patience that a busy machine does not always keep."""
    answer = admin.post("/admin/tokens", json=dict(account))
    for _ in range(_ATTEMPTS):
        if not answer.is_server_error:
            break
        time.sleep(1)
        answer = admin.post("/admin/tokens", json=dict(account))
    answer.raise_for_status()


async def _until_ready(part: Killable) -> None:
    async with asyncio.timeout(_START_TIMEOUT_SECONDS):
        while not await asyncio.to_thread(part.is_ready):  # noqa: ASYNC110 - what is awaited is another process
            await asyncio.sleep(0.05)


def _port_of(url: str) -> int:
    port = httpx.URL(url).port
    assert port is not None
    return port
