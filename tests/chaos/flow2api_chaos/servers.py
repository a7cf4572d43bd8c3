"""The servers of a run, which are killed and come back with their data where they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from signal import SIGKILL, SIGQUIT
from typing import Protocol

import psutil

from flow2api_cli.child_process import ChildProcess
from flow2api_cli.private_servers import start_nats, start_redis
from flow2api_testing.postgres import PostgresCluster, TestPostgres
from flow2api_testing.programs import free_port

# What was committed is in the operating system's hands: it outlives the server, if not the machine.
_DURABLE = {"synchronous_commit": "on"}
_NATS_PASSWORD = "password-of-the-run"


class Killable(Protocol):
    """What a strike can kill."""

    def start(self) -> None:
        """Begin, or come back. Does not wait."""

    def kill(self) -> None:
        """End as by ``kill -9``."""

    def stop(self) -> None:
        """End in order; also when it was killed before."""

    def is_ready(self) -> bool:
        """Whether it answers."""


class Postgres:
    """PostgreSQL whose commits survive a kill."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self._cluster = cluster
        self._port = free_port()
        self._server: TestPostgres | None = None

    @property
    def server(self) -> TestPostgres:
        assert self._server is not None
        return self._server

    def start(self) -> None:
        self._server = self._cluster.start(self._port, _DURABLE)

    def kill(self) -> None:
        _kill_with_children(self.server.process)

    def stop(self) -> None:
        if self._server is not None:
            self._server.process.block_until_stopped(stop_signal=SIGQUIT)

    def is_ready(self) -> bool:
        return self.server.answers()


class Nats:
    """NATS with its JetStream store."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = free_port()
        self.url = f"nats://flow2api:{_NATS_PASSWORD}@127.0.0.1:{self._port}"

    def start(self) -> None:
        self._starting = start_nats(self._directory, port=self._port, password=_NATS_PASSWORD)

    def kill(self) -> None:
        self._starting.process.block_until_stopped(stop_signal=SIGKILL)

    def stop(self) -> None:
        self._starting.process.block_until_stopped(stop_signal=SIGKILL)

    def is_ready(self) -> bool:
        return self._starting.is_ready()


class Redis:
    """Redis with its append-only file, which may be taken away."""

    def __init__(self, directory: Path, runtime: Path) -> None:
        self._directory = directory
        self._socket = runtime / "s"
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        self._server, self._probe = start_redis(self._directory, socket_path=self._socket)

    def kill(self) -> None:
        self._server.process.block_until_stopped(stop_signal=SIGKILL)

    def empty(self) -> None:
        """Lose everything; while it is dead."""
        shutil.rmtree(self._directory / "appendonlydir", ignore_errors=True)
        for file in self._directory.glob("appendonly.aof*"):
            file.unlink()

    def stop(self) -> None:
        self._server.process.block_until_stopped(stop_signal=SIGKILL)

    def is_ready(self) -> bool:
        return self._probe()


def _kill_with_children(process: ChildProcess) -> None:
    """PostgreSQL's backends would finish their statements otherwise."""
    if not process.is_running:
        return
    family = psutil.Process(process.pid)
    family.suspend()
    children = family.children(recursive=True)
    for child in children:
        child.kill()
    process.block_until_stopped(stop_signal=SIGKILL)
    psutil.wait_procs(children, timeout=10)
