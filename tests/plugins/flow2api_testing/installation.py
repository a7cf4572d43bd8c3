"""All services in the process of the test, over its servers and the sandbox, with a time that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from flow2api_testing.migrated import migrate_by_copy
from flow2api_testing.passwords import cheap_passwords
from flow2api_testing.pool_time import PoolTime
from flow2api_testing.waiting import eventually

if TYPE_CHECKING:
    from flow2api_sandbox.server import RunningSandbox

API_KEY = "sk-installation-0123456789"
ADMIN_PASSWORD = "password-of-the-installation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A gateway with all that is behind it. ``client`` shows the API key, ``admin`` an administrator's session."""

    client: httpx.AsyncClient
    admin: httpx.AsyncClient
    sandbox: RunningSandbox
    time: PoolTime

    def advance(self, by: timedelta) -> None:
        """Move the time of everybody: services, scripts in Redis, upstream."""
        self.time.advance(by)
        self.sandbox.world.clock.advance(by.total_seconds())

    def advance_to(self, time: str | None) -> None:
        """Move to just after a time that the administration has told."""
        assert time is not None
        self.advance(datetime.fromisoformat(time) - self.time().astimezone(UTC) + timedelta(seconds=1))

    async def add_token(self, **fields: Any) -> int:
        """Add an account to the pool."""
        answer = await self.admin.post("/admin/tokens", json=fields)
        return int(answer.raise_for_status().json()["id"])

    async def token(self, token_id: int) -> dict[str, Any]:
        """A token as the administration shows it."""
        answer = await self.admin.get(f"/admin/tokens/{token_id}")
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def events(self, token_id: int) -> list[dict[str, Any]]:
        """What has happened to a token, oldest first."""
        answer = await self.admin.get(f"/admin/tokens/{token_id}/events")
        return list(reversed(answer.raise_for_status().json()))

    async def generate(self, prompt: str = "a lighthouse", *, model: str = "gemini-3.1-flash-image") -> httpx.Response:
        """Ask for one picture; returns when its lease has been given back, too."""
        answer = await self.client.post("/v1/images/generations", json={"model": model, "prompt": prompt})
        await eventually(self._nothing_is_leased)
        return answer

    async def _nothing_is_leased(self) -> bool:
        tokens = (await self.admin.get("/admin/tokens")).raise_for_status().json()
        return not any(token["image_in_flight"] for token in tokens)


@asynccontextmanager
async def running_installation(
    directory: Path, *, sandbox: RunningSandbox, redis_url: str, nats_url: str, time: PoolTime, **settings: Any
) -> AsyncIterator[Installation]:
    """Everything at work on SQLite while inside; ``settings`` go to every service."""
    from flow2api_common.settings import load_settings
    from flow2api_gateway.composition import running_gateway
    from flow2api_gateway.settings import GatewaySettings
    from flow2api_generation_service.composition import running_generation_service
    from flow2api_generation_service.migrate import migrate as migrate_generation
    from flow2api_generation_service.settings import GenerationServiceSettings
    from flow2api_poller_service.composition import running_poller_service
    from flow2api_poller_service.settings import PollerServiceSettings
    from flow2api_token_service.composition import running_token_service
    from flow2api_token_service.migrate import migrate as migrate_tokens
    from flow2api_token_service.settings import TokenServiceSettings

    (directory / "media").mkdir(parents=True)
    common: dict[str, Any] = {
        "redis_url": redis_url,
        "nats_url": nats_url,
        "media_url": f"file://{directory / 'media'}",
        "secret_key": "secret-key-of-the-installation-01",
        "service_token": "service-token-of-the-installation",
        "api_key": API_KEY,
        "admin_password": ADMIN_PASSWORD,
        "token_addr": "127.0.0.1:0",
        "generation_addr": "127.0.0.1:0",
        "flow_labs_url": sandbox.flow_labs_url,
        "flow_api_url": sandbox.flow_api_url,
        "gemini_url": sandbox.gemini_url,
        "vertex_url": sandbox.vertex_url,
        "google_token_url": sandbox.token_url,
        "google_metadata_url": sandbox.metadata_url,
        "google_storage_url": sandbox.storage_url,
        "upstream_impersonate": "",
        "port": 0,
        "video_poll_interval": timedelta(milliseconds=200),
        **settings,
    }
    token_settings = load_settings(
        TokenServiceSettings, database_url=f"sqlite+aiosqlite:///{directory / 'tokens.db'}", **common
    )
    generation_url = f"sqlite+aiosqlite:///{directory / 'generation.db'}"
    async with AsyncExitStack() as stack:
        stack.enter_context(cheap_passwords())
        await migrate_by_copy(token_settings, migrate_tokens)
        token = await stack.enter_async_context(running_token_service(token_settings, clock=time))
        common["token_addr"] = token.address
        generation_settings = load_settings(GenerationServiceSettings, database_url=generation_url, **common)
        await migrate_by_copy(generation_settings, migrate_generation)
        generation = await stack.enter_async_context(running_generation_service(generation_settings, clock=time))
        common["generation_addr"] = generation.address
        poller_settings = load_settings(PollerServiceSettings, **common)
        await stack.enter_async_context(running_poller_service(poller_settings, clock=time))
        gateway = await stack.enter_async_context(running_gateway(load_settings(GatewaySettings, **common)))
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.address, timeout=60, trust_env=False))
            for _ in range(2)
        ]
        clients[0].headers["authorization"] = f"Bearer {API_KEY}"
        login = await clients[1].post("/admin/login", json={"username": "admin", "password": ADMIN_PASSWORD})
        clients[1].headers["authorization"] = f"Bearer {login.raise_for_status().json()['token']}"
        yield Installation(client=clients[0], admin=clients[1], sandbox=sandbox, time=time)
