"""The whole system in both modes, against a sandbox, in child processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from flow2api_testing.postgres import TestPostgres
from flow2api_testing.programs import (
    Program,
    SandboxProgram,
    block_until,
    flow2api,
    free_port,
    is_ready,
    sandbox_program,
)
from flow2api_testing.servers import running_nats, running_redis

API_KEY = "sk-end-to-end-0123456789abcdef"
ADMIN_PASSWORD = "end-to-end-password"
SERVICES = ("token", "generation", "poller", "gateway")
ACCOUNTS: tuple[Mapping[str, str], ...] = (
    {"provider": "flow", "st": "sandbox-st-1"},
    {"provider": "flow", "st": "sandbox-st-2"},
    {"provider": "gemini", "api_key": "sandbox-key-1"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system that serves at ``base_url``; ``programs`` are its processes by name."""

    base_url: str
    sandbox: SandboxProgram
    programs: Mapping[str, Program]
    variables: Mapping[str, str]

    def wait_until_ready(self) -> None:
        block_until(lambda: is_ready(self.base_url), *self.programs.values())

    @contextmanager
    def admin(self) -> Iterator[httpx.Client]:
        """A client that is logged in to the administration."""
        with httpx.Client(base_url=self.base_url, timeout=60, trust_env=False) as client:
            answer = client.post("/admin/login", json={"username": "admin", "password": ADMIN_PASSWORD})
            client.headers["authorization"] = f"Bearer {answer.raise_for_status().json()['token']}"
            yield client

    def add_accounts(self, accounts: Sequence[Mapping[str, str]] = ACCOUNTS) -> None:
        """Add accounts of the sandbox to the pool."""
        with self.admin() as admin:
            for account in accounts:
                answer = admin.post("/admin/tokens", json={**account, "remark": "end to end"})
                assert answer.is_success, answer.text


@contextmanager
def all_in_one_system(
    directory: Path,
    *,
    extra_variables: Mapping[str, str] | None = None,
    accounts: Sequence[Mapping[str, str]] = ACCOUNTS,
    **sandbox_settings: str,
) -> Iterator[System]:
    """``flow2api up`` in one process; ``accounts`` are in its pool from the start."""
    with sandbox_program(directory / "sandbox", **sandbox_settings) as sandbox:
        variables = _common_variables(sandbox) | {"FLOW2API_STATE_DIR": str(directory / "state")}
        variables |= extra_variables or {}
        program = flow2api("up", "up", variables=variables, directory=directory)
        yield from _running(sandbox, {"up": program}, variables, accounts)


@contextmanager
def distributed_system(
    directory: Path,
    postgres: TestPostgres,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    generation_replicas: int = 1,
    **sandbox_settings: str,
) -> Iterator[System]:
    """Four processes over PostgreSQL, Redis and NATS, all started at once; ``settings`` are variables beside ours.

    Further replicas of the generation service listen where no gateway asks: they take their share of what comes through
    NATS and the outbox, and tell the one that is asked.
    """
    database = postgres.create_database()
    media = directory / "media"
    media.mkdir(parents=True)
    with (
        sandbox_program(directory / "sandbox", **sandbox_settings) as sandbox,
        running_redis(directory / "redis") as redis_socket,
        running_nats(directory / "nats") as nats_url,
    ):
        variables = _common_variables(sandbox) | {
            "FLOW2API_SECRET_KEY": "end-to-end-secret-key-0123456789",
            "FLOW2API_SERVICE_TOKEN": "end-to-end-service-token",
            "FLOW2API_DATABASE_URL": postgres.url(database),
            "FLOW2API_REDIS_URL": f"unix://{redis_socket}",
            "FLOW2API_NATS_URL": nats_url,
            "FLOW2API_MEDIA_URL": f"file://{media}",
            "FLOW2API_TOKEN_ADDR": f"127.0.0.1:{free_port()}",
            "FLOW2API_GENERATION_ADDR": f"127.0.0.1:{free_port()}",
            **settings,
        }
        programs = {
            name: flow2api(name, "serve", name, "--migrate", variables=variables, directory=directory)
            for name in SERVICES
        }
        for number in range(2, generation_replicas + 1):
            own = variables | {"FLOW2API_GENERATION_ADDR": f"127.0.0.1:{free_port()}"}
            name = f"generation-{number}"
            programs[name] = flow2api(name, "serve", "generation", "--migrate", variables=own, directory=directory)
        yield from _running(sandbox, programs, variables)
    postgres.drop_database(database)


def _running(
    sandbox: SandboxProgram,
    programs: Mapping[str, Program],
    variables: Mapping[str, str],
    accounts: Sequence[Mapping[str, str]] = ACCOUNTS,
) -> Iterator[System]:
    base_url = f"http://127.0.0.1:{variables['FLOW2API_PORT']}"
    system = System(base_url=base_url, sandbox=sandbox, programs=programs, variables=variables)
    try:
        for program in programs.values():
            program.start()
        system.wait_until_ready()
        system.add_accounts(accounts)
        yield system
    finally:
        for program in reversed(list(programs.values())):
            program.stop()


def _common_variables(sandbox: SandboxProgram) -> dict[str, str]:
    return sandbox.settings() | {
        "FLOW2API_PORT": str(free_port()),
        "FLOW2API_API_KEY": API_KEY,
        "FLOW2API_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "FLOW2API_UPSTREAM_IMPERSONATE": "",
        "FLOW2API_VIDEO_POLL_INTERVAL": "0.5",
    }
