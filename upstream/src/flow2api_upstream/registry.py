"""Providers by name."""

from collections.abc import Mapping, Sequence

from flow2api_common.clock import Clock, utc_now
from flow2api_common.errors import NotFound
from flow2api_upstream.flow.provider import FlowProvider
from flow2api_upstream.gemini.provider import GeminiProvider
from flow2api_upstream.http import HttpClient
from flow2api_upstream.port import Provider
from flow2api_upstream.settings import UpstreamSettings
from flow2api_upstream.vertex.provider import VertexProvider


class ProviderRegistry:
    """The upstream families that this process can speak to. Belongs to one event loop."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers: Mapping[str, Provider] = {provider.name: provider for provider in providers}

    @property
    def names(self) -> tuple[str, ...]:
        """Every provider name, in the order of registration."""
        return tuple(self._providers)

    def get(self, name: str) -> Provider:
        """The provider of that name. Raises NotFound with the reason PROVIDER_UNKNOWN."""
        try:
            return self._providers[name]
        except KeyError:
            raise NotFound(f"There is no provider named {name!r}.", reason="PROVIDER_UNKNOWN") from None

    async def aclose(self) -> None:
        """Close every provider's connections."""
        for provider in self._providers.values():
            await provider.aclose()


def build_registry(settings: UpstreamSettings, *, clock: Clock = utc_now) -> ProviderRegistry:
    """Every provider that this version has, each with connections of its own."""
    return ProviderRegistry(
        [
            FlowProvider(settings, HttpClient(settings), clock=clock),
            GeminiProvider(settings, HttpClient(settings), clock=clock),
            VertexProvider(settings, HttpClient(settings), clock=clock),
        ]
    )
