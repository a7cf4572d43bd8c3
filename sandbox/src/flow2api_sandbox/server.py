"""The sandbox on a socket, inside the caller's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import uvicorn

from flow2api_sandbox.app import create_app
from flow2api_sandbox.clock import Clock
from flow2api_sandbox.connection import SandboxProtocol
from flow2api_sandbox.flow.routes import API_PREFIX, LABS_PREFIX
from flow2api_sandbox.identity.routes import TOKEN_PATH
from flow2api_sandbox.settings import SandboxSettings
from flow2api_sandbox.world import World

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A listening sandbox: its addresses and its world."""

    base_url: str
    world: World

    @property
    def flow_labs_url(self) -> str:
        """Session side of Flow (``FLOW2API_FLOW_LABS_URL``)."""
        return self.base_url + LABS_PREFIX

    @property
    def flow_api_url(self) -> str:
        """API side of Flow (``FLOW2API_FLOW_API_URL``)."""
        return self.base_url + API_PREFIX

    @property
    def gemini_url(self) -> str:
        """Host of the Gemini API (``FLOW2API_GEMINI_URL``); versions follow it."""
        return self.base_url

    @property
    def vertex_url(self) -> str:
        """Host of every location of Vertex (``FLOW2API_VERTEX_URL``)."""
        return self.base_url

    @property
    def token_url(self) -> str:
        """Where assertions buy access tokens (``FLOW2API_GOOGLE_TOKEN_URL``)."""
        return self.base_url + TOKEN_PATH

    @property
    def storage_url(self) -> str:
        """Host of Cloud Storage."""
        return self.base_url

    @property
    def metadata_host(self) -> str:
        """The metadata server as ``GCE_METADATA_HOST`` names it, without a scheme."""
        return self.base_url.partition("://")[2]

    @property
    def metadata_url(self) -> str:
        """The metadata server, with a scheme."""
        return self.base_url

    def service_account_key(self, number: int = 1) -> dict[str, str]:
        """A new key file of the seed account of that number."""
        email = f"sandbox-sa-{number}@sandbox-project-{number}.iam.gserviceaccount.com"
        account = self.world.identity.service_accounts[email]
        return self.world.identity.create_key(account, token_uri=self.token_url)

    @property
    def control_url(self) -> str:
        """The control API."""
        return f"{self.base_url}/_sandbox"

    def urls(self) -> dict[str, str]:
        """Every address by name."""
        return {
            "base_url": self.base_url,
            "flow_labs_url": self.flow_labs_url,
            "flow_api_url": self.flow_api_url,
            "gemini_url": self.gemini_url,
            "vertex_url": self.vertex_url,
            "token_url": self.token_url,
            "storage_url": self.storage_url,
            "metadata_host": self.metadata_host,
            "control_url": self.control_url,
        }


class SandboxServer(uvicorn.Server):
    """uvicorn that frees hung and waiting requests before it waits for them to end."""

    def __init__(self, config: uvicorn.Config, world: World, *, takes_signals: bool) -> None:
        super().__init__(config)
        self._world = world
        self._takes_signals = takes_signals
        self.listening = asyncio.Event()
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone when the process belongs to somebody else."""
        with super().capture_signals() if self._takes_signals else contextlib.nullcontext():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so in ``listening``."""
        await super().startup(sockets)
        self.listening.set()

    def stop(self) -> None:
        """Have `serve` end at once; uvicorn by itself looks at ``should_exit`` every tenth of a second."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """Serve until asked to stop."""
        waits = {asyncio.create_task(super().main_loop()), asyncio.create_task(self._stopping.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what waits, then shut down."""
        self._world.stop()
        await super().shutdown(sockets)


def bind(settings: SandboxSettings) -> socket.socket:
    """A listening socket at the configured address; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # The protocol must be named: asyncio sets TCP_NODELAY only then, and without it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(_BACKLOG)
    return listener


def make_server(settings: SandboxSettings, world: World, *, takes_signals: bool) -> SandboxServer:
    """The server of a world, not yet listening."""
    config = uvicorn.Config(
        create_app(settings, world),
        http=SandboxProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=2,
    )
    return SandboxServer(config, world, takes_signals=takes_signals)


def base_url_of(listener: socket.socket) -> str:
    """The address to reach a listening socket at."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound to
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.asynccontextmanager
async def running_sandbox(
    settings: SandboxSettings | None = None, *, clock: Clock | None = None
) -> AsyncIterator[RunningSandbox]:
    """A sandbox that listens while the block runs, and stops at once afterwards, hung requests and all.

    Without settings it takes a free port and does everything at once. Raises OSError when the address is taken.
    """
    settings = settings or SandboxSettings(port=0, time_scale=0)
    world = World(settings, clock=clock)
    listener = bind(settings)
    base_url = base_url_of(listener)
    server = make_server(settings, world, takes_signals=False)
    # Not a TaskGroup: an error of the block must come out as itself, and fixtures may leave in another task.
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="sandbox")
    serving.add_done_callback(lambda _: server.listening.set())
    try:
        await server.listening.wait()
        yield RunningSandbox(base_url=base_url, world=world)
    finally:
        server.stop()
        try:
            await serving
        finally:
            listener.close()
