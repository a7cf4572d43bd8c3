"""A raw server that answers whatever a test scripts, and providers over the sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from flow2api_common.settings import load_settings
from flow2api_sandbox.server import RunningSandbox
from flow2api_upstream.flow.provider import FlowProvider
from flow2api_upstream.gemini.provider import GeminiProvider
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import Account, Provider, Secret
from flow2api_upstream.settings import UpstreamSettings
from flow2api_upstream.vertex.provider import VertexProvider

FLOW_SESSION = "sandbox-st-1"
GEMINI_KEY = "sandbox-key-1"
PROJECT = "sandbox-project-1"


@dataclass
class Heard:
    """One request as the raw server read it."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


Script = Callable[[Heard, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """A server of few words: keeps connections open, notes each request, answers by the script."""

    script: Script
    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.add(asyncio.current_task())
        self._connections += 1
        number = self._connections
        # Cancelled only when the server stops; a cancelled handler would be logged as an error.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                pairs = (line.split(": ", 1) for line in head[1:] if ": " in line)
                headers = {name.lower(): value for name, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Heard(head[0], headers, body, number)
                self.heard.append(request)
                await self.script(request, writer)
                await writer.drain()
        writer.close()


@pytest.fixture
def raw_server():
    """``async with raw_server(script) as server``: a server that answers by the script."""

    @asynccontextmanager
    async def running(script: Script) -> AsyncIterator[RawServer]:
        raw = RawServer(script)
        server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
        raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield raw
        finally:
            server.close()
            for task in raw.tasks:
                task.cancel()
            await asyncio.gather(*raw.tasks, return_exceptions=True)

    return running


@pytest.fixture
def settings() -> UpstreamSettings:
    """Settings for a client over a raw server: short patience, and plain curl."""
    return load_settings(
        UpstreamSettings,
        upstream_impersonate="",
        upstream_connect_timeout=timedelta(seconds=2),
        upstream_timeout=timedelta(seconds=20),
        download_idle_timeout=timedelta(seconds=20),
    )


@pytest.fixture
async def client(settings: UpstreamSettings) -> AsyncIterator[HttpClient]:
    """An HTTP client with these settings."""
    client = HttpClient(settings)
    yield client
    await client.aclose()


@pytest.fixture
def patient_settings(upstream_settings: UpstreamSettings) -> UpstreamSettings:
    """Settings that point at the sandbox, as a browser would come."""
    return upstream_settings.model_copy(update={"upstream_impersonate": "chrome"})


@pytest.fixture
async def flow(patient_settings: UpstreamSettings) -> AsyncIterator[FlowProvider]:
    """The provider ``flow`` over the sandbox."""
    provider = FlowProvider(patient_settings, HttpClient(patient_settings))
    yield provider
    await provider.aclose()


@pytest.fixture
async def gemini(patient_settings: UpstreamSettings) -> AsyncIterator[GeminiProvider]:
    """The provider ``gemini`` over the sandbox."""
    provider = GeminiProvider(patient_settings, HttpClient(patient_settings))
    yield provider
    await provider.aclose()


@pytest.fixture
async def flow_account(flow: FlowProvider) -> Account:
    """A refreshed account with a project of its own."""
    return await ready_flow_account(flow, FLOW_SESSION)


@pytest.fixture
def flow_account_of(flow: FlowProvider):
    """``await flow_account_of(session_token)``: any account, refreshed, with a project."""

    async def ready(session_token: str) -> Account:
        return await ready_flow_account(flow, session_token)

    return ready


@pytest.fixture
def gemini_account() -> Account:
    """An account by API key."""
    return Account(2, bearer=GEMINI_KEY)


@pytest.fixture
async def vertex(patient_settings: UpstreamSettings) -> AsyncIterator[VertexProvider]:
    """The provider ``vertex`` over the sandbox."""
    provider = VertexProvider(patient_settings, HttpClient(patient_settings))
    yield provider
    await provider.aclose()


@pytest.fixture
def vertex_secret(sandbox: RunningSandbox) -> Secret:
    """A key file of a service account."""
    return Secret(json.dumps(sandbox.service_account_key()))


@pytest.fixture
async def vertex_account(vertex: VertexProvider, vertex_secret: Secret) -> Account:
    """A refreshed service account in a project and location."""
    grant = await vertex.refresh(vertex_secret)
    return Account(3, bearer=grant.bearer, project_id=grant.project_id, location="us-central1")


@pytest.fixture(params=["flow", "gemini", "vertex"])
def provider_name(request: pytest.FixtureRequest) -> str:
    """Every provider that there is."""
    return request.param


@pytest.fixture
def provider(request: pytest.FixtureRequest, provider_name: str) -> Provider:
    """Each provider in turn."""
    return request.getfixturevalue(provider_name)


@pytest.fixture
def account(request: pytest.FixtureRequest, provider_name: str) -> Account:
    """An account of that provider."""
    return request.getfixturevalue(f"{provider_name}_account")


@pytest.fixture
def secret(request: pytest.FixtureRequest, provider_name: str) -> Secret:
    """A long-lived secret of that provider."""
    if provider_name == "vertex":
        return request.getfixturevalue("vertex_secret")
    return Secret(FLOW_SESSION if provider_name == "flow" else GEMINI_KEY)


@pytest.fixture
def add_fault(sandbox: RunningSandbox):
    """``add_fault(kind, route=…)`` puts a fault in force in the sandbox."""
    from flow2api_sandbox.faults import Fault

    def add(kind: str, **options: object) -> None:
        sandbox.world.faults.add(Fault.model_validate({"kind": kind, **options}))

    return add


async def ready_flow_account(flow: FlowProvider, session_token: str) -> Account:
    grant = await flow.refresh(Secret(session_token))
    bare = Account(1, bearer=grant.bearer, session_token=session_token)
    project = await flow.create_project(bare, "tests")
    state = await flow.probe(bare)
    return Account(1, bearer=grant.bearer, session_token=session_token, project_id=project.project_id, tier=state.tier)
