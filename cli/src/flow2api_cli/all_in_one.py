"""The all-in-one mode: every service in this process over private servers.

The services are those of the distributed mode; only the connection settings made here differ.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import SecretStr

from flow2api_cli.components import Component, ConnectionSettings, RunningComponents, Started, running_components
from flow2api_cli.private_servers import private_nats, private_redis, short_runtime_directory
from flow2api_cli.service_table import METRICS_ELSEWHERE, SERVICE_NAMES, SERVICES, settings_class
from flow2api_cli.settings import AllInOneSettings
from flow2api_cli.state import Secrets, StateDirectory, load_or_generate_secrets
from flow2api_common.settings import SettingsError, load_settings

ALL_IN_ONE = ("redis", "nats", "token-schema", "generation-schema", "token", "generation", "poller", "gateway")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A running all-in-one installation."""

    state: StateDirectory
    secrets: Secrets
    generated: tuple[str, ...]
    """Names of the secrets that were made on this start."""
    components: RunningComponents
    base_url: str


def check_settings(settings: AllInOneSettings) -> None:
    """Check the settings of all services before anything starts. Raises SettingsError with every mistake at once."""
    state = StateDirectory(settings.state_dir.expanduser().resolve())
    standing_in = SecretStr("generated-on-the-first-start")
    secrets = Secrets(
        secret_key=settings.secret_key or standing_in,
        service_token=settings.service_token or standing_in,
        api_key=settings.api_key or standing_in,
        admin_password=settings.admin_password or standing_in,
    )
    connections = {
        "redis_url": SecretStr("unix:///private"),
        "nats_url": SecretStr("nats://private"),
        "database_url": settings.database_url or SecretStr(state.token_database_url),
        **_connections(settings, state, secrets, state.run),
    }
    mistakes: list[str] = []
    for name in SERVICE_NAMES:
        try:
            load_settings(settings_class(name), **connections)
        except SettingsError as exc:
            mistakes += [mistake for mistake in exc.mistakes if mistake not in mistakes]
    if mistakes:
        raise SettingsError(mistakes)


@asynccontextmanager
async def running_installation(
    settings: AllInOneSettings,
    *,
    own: ConnectionSettings = MappingProxyType({}),
    on_start: Callable[[str], None] = lambda _name: None,
) -> AsyncIterator[Installation]:
    """Run everything over the state directory of ``settings``; ``own`` settings win over what the services read.

    Raises StateDirectoryBusy, StateDirectoryBroken, ComponentFailed; nothing is left running then.
    """
    state = StateDirectory(settings.state_dir.expanduser().resolve())
    with state.locked(), short_runtime_directory(state.run) as runtime:
        secrets, generated = load_or_generate_secrets(
            state,
            {
                "secret_key": settings.secret_key,
                "service_token": settings.service_token,
                "api_key": settings.api_key,
                "admin_password": settings.admin_password,
            },
        )
        connections = {**_connections(settings, state, secrets, runtime), **own}
        names = [name for name in ALL_IN_ONE if f"{name}_url" not in connections]
        async with running_components(_table(settings, state), names, connections, on_start=on_start) as components:
            yield Installation(
                state=state,
                secrets=secrets,
                generated=tuple(generated),
                components=components,
                base_url=str(components.connections["gateway_url"]),
            )


def _connections(
    settings: AllInOneSettings, state: StateDirectory, secrets: Secrets, runtime: Path
) -> dict[str, object]:
    connections: dict[str, object] = {
        "host": settings.host,
        "port": settings.port,
        "public_url": settings.public_url,
        **METRICS_ELSEWHERE,
        "admin_username": settings.admin_username,
        "secret_key": secrets.secret_key,
        "service_token": secrets.service_token,
        "api_key": secrets.api_key,
        "admin_password": secrets.admin_password,
        "media_url": settings.media_url or state.media_url,
        "token_addr": f"unix:{runtime / 'token.sock'}",
        "generation_addr": f"unix:{runtime / 'generation.sock'}",
    }
    given = {"redis_url": settings.redis_url, "nats_url": settings.nats_url}
    return connections | {name: url for name, url in given.items() if url is not None}


def _table(settings: AllInOneSettings, state: StateDirectory) -> Mapping[str, Component]:
    """The services with databases of their own, and the private servers."""
    databases = {
        "token": settings.database_url or SecretStr(state.token_database_url),
        "generation": settings.database_url or SecretStr(state.generation_database_url),
    }
    table = {
        "redis": Component(name="redis", start=lambda _settings: _redis(state.redis)),
        "nats": Component(name="nats", start=lambda _settings: _nats(state.nats)),
    }
    for name, component in SERVICES.items():
        database = databases.get(name.removesuffix("-schema"))
        table[name] = component if database is None else _with_settings(component, {"database_url": database})
    return MappingProxyType(table)


def _with_settings(component: Component, own: ConnectionSettings) -> Component:
    return Component(
        name=component.name,
        requires=component.requires,
        start=lambda settings: component.start({**settings, **own}),
    )


@asynccontextmanager
async def _redis(directory: Path) -> AsyncIterator[Started]:
    async with private_redis(directory) as server:
        yield Started(wait=server.process.wait, provides={"redis_url": SecretStr(server.url)})


@asynccontextmanager
async def _nats(store_dir: Path) -> AsyncIterator[Started]:
    async with private_nats(store_dir) as server:
        yield Started(wait=server.process.wait, provides={"nats_url": SecretStr(server.url)})
