"""Fixtures of the real servers: Redis, NATS with JetStream, PostgreSQL, and SQLite files."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flow2api_cli.private_servers import redis_command, start_nats, start_redis
from flow2api_testing.postgres import TestPostgres, running_postgres


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A private Redis of this pytest process; gives its socket."""
    with running_redis(tmp_path_factory.mktemp("redis")) as socket_path:
        yield socket_path


@pytest.fixture
def redis_url(redis_server: Path) -> Iterator[str]:
    """URL of a Redis that is empty at the start of the test."""
    redis_command(redis_server, "FLUSHALL")
    yield f"unix://{redis_server}"
    redis_command(redis_server, "FLUSHALL")


@pytest.fixture
def nats_url(tmp_path: Path) -> Iterator[str]:
    """URL of a NATS server with JetStream of this test alone (it starts in some 30 ms)."""
    with running_nats(tmp_path / "nats") as url:
        yield url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[TestPostgres]:
    """A PostgreSQL server of this pytest process."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: TestPostgres) -> Iterator[str]:
    """URL of a fresh, empty PostgreSQL database."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database; the test runs once on each kind."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(name))


@contextmanager
def running_redis(directory: Path) -> Iterator[Path]:
    """A Redis without persistence for the length of the block; gives its socket."""
    # Socket paths are at most 107 bytes long, and pytest's directories can be longer.
    with tempfile.TemporaryDirectory(prefix="f2a-", dir="/tmp") as runtime:
        server, is_ready = start_redis(directory, socket_path=Path(runtime) / "redis.sock", is_persistent=False)
        try:
            server.process.block_until_ready(is_ready)
            yield Path(runtime) / "redis.sock"
        finally:
            server.process.block_until_stopped()


@contextmanager
def running_nats(store_dir: Path) -> Iterator[str]:
    """A NATS with JetStream for the length of the block; gives its URL."""
    starting = start_nats(store_dir)
    try:
        starting.process.block_until_ready(starting.is_ready)
        yield starting.server().url
    finally:
        # Nobody looks at its store again, and its orderly end takes a tenth of a second.
        starting.process.block_until_stopped(stop_signal=signal.SIGKILL)
