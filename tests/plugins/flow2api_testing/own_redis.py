"""A Redis of one test alone, which the test may kill."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest

from flow2api_cli.private_servers import start_redis


class OwnRedis:
    """A persistent Redis that the test kills and starts again, with its data or without."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._socket = folder / "s"
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server, is_ready = start_redis(self._folder / "data", socket_path=self._socket)
        self._server.process.block_until_ready(is_ready)

    def kill(self, *, loses_data: bool) -> None:
        """End it as ``kill -9`` does."""
        self._server.process.block_until_stopped(stop_signal=SIGKILL)
        if loses_data:
            shutil.rmtree(self._folder / "data")


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """One that runs, and is empty."""
    # Socket paths are at most 107 bytes long, and pytest's directories can be longer.
    with tempfile.TemporaryDirectory(prefix="f2a-", dir="/tmp") as folder:
        server = OwnRedis(Path(folder))
        yield server
        server.kill(loses_data=False)
