"""The services as components. Both modes start them from here, by the same composition roots.

The roots are imported by the functions that run them, so that one service's process does not load the others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from types import MappingProxyType

from flow2api_cli.components import Component, ConnectionSettings, Started
from flow2api_common.settings import BaseServiceSettings, load_settings


@asynccontextmanager
async def _token_schema(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_common.settings import DatabaseSettings
    from flow2api_token_service.migrate import migrate

    await migrate(load_settings(DatabaseSettings, **connections))
    yield Started()


@asynccontextmanager
async def _generation_schema(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_common.settings import DatabaseSettings
    from flow2api_generation_service.migrate import migrate

    await migrate(load_settings(DatabaseSettings, **connections))
    yield Started()


@asynccontextmanager
async def _token(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_token_service.composition import running_token_service
    from flow2api_token_service.settings import TokenServiceSettings

    async with running_token_service(load_settings(TokenServiceSettings, **connections)) as service:
        yield Started(wait=service.wait, provides={"token_addr": service.address})


@asynccontextmanager
async def _generation(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_generation_service.composition import running_generation_service
    from flow2api_generation_service.settings import GenerationServiceSettings

    async with running_generation_service(load_settings(GenerationServiceSettings, **connections)) as service:
        yield Started(wait=service.wait, provides={"generation_addr": service.address})


@asynccontextmanager
async def _poller(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_poller_service.composition import running_poller_service
    from flow2api_poller_service.settings import PollerServiceSettings

    async with running_poller_service(load_settings(PollerServiceSettings, **connections)) as service:
        yield Started(wait=service.wait)


@asynccontextmanager
async def _gateway(connections: ConnectionSettings) -> AsyncIterator[Started]:
    from flow2api_gateway.composition import running_gateway
    from flow2api_gateway.settings import GatewaySettings

    async with running_gateway(load_settings(GatewaySettings, **connections)) as service:
        yield Started(wait=service.wait, provides={"gateway_url": service.address})


# One process has one place for its metrics: whoever runs the components serves it beside them.
METRICS_ELSEWHERE: ConnectionSettings = MappingProxyType({"metrics_addr": ""})

SERVICE_NAMES = ("token", "generation", "poller", "gateway")

SERVICES: Mapping[str, Component] = MappingProxyType(
    {
        component.name: component
        for component in (
            Component(name="token-schema", start=_token_schema),
            Component(name="generation-schema", start=_generation_schema),
            Component(name="token", requires=("token-schema", "redis"), start=_token),
            Component(name="generation", requires=("generation-schema", "nats", "token"), start=_generation),
            Component(name="poller", requires=("nats", "token"), start=_poller),
            Component(name="gateway", requires=("token", "generation"), start=_gateway),
        )
    }
)


def import_services(names: Iterable[str]) -> None:
    """Import the services' roots now: later, an import of seconds would hold up an event loop that is at work."""
    for name in names:
        import_module(f"{_SETTINGS[name][0].removesuffix('.settings')}.composition")


def settings_class(service: str) -> type[BaseServiceSettings]:
    """The settings class of a service."""
    module, name = _SETTINGS[service]
    found: type[BaseServiceSettings] = getattr(import_module(module), name)
    return found


_SETTINGS = MappingProxyType(
    {
        "gateway": ("flow2api_gateway.settings", "GatewaySettings"),
        "token": ("flow2api_token_service.settings", "TokenServiceSettings"),
        "generation": ("flow2api_generation_service.settings", "GenerationServiceSettings"),
        "poller": ("flow2api_poller_service.settings", "PollerServiceSettings"),
    }
)
