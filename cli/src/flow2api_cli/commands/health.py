"""``flow2api health``: ask a gRPC service how it is, for probes of containers."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from flow2api_cli.api_client import ApiError
from flow2api_cli.console import output, run_command
from flow2api_common.errors import Flow2APIError
from flow2api_common.grpc_tls import GrpcClientTlsSettings
from flow2api_common.settings import (
    GenerationClientSettings,
    ServiceAuthSettings,
    TokenClientSettings,
    load_settings,
)

_TIMEOUT = timedelta(seconds=5)


class GrpcService(StrEnum):
    """The services that speak gRPC."""

    TOKEN = "token"  # noqa: S105 - the name of a service
    GENERATION = "generation"


class HealthSettings(ServiceAuthSettings, GrpcClientTlsSettings, TokenClientSettings, GenerationClientSettings):
    """What a client of both services needs."""

    generation_server_name: str = ""


def health(service: Annotated[GrpcService, typer.Argument(help="Which service to ask.")]) -> None:
    """Ask a service for its gRPC health, with the service token and TLS of the settings; exit code 1 unless it serves.

    FLOW2API_TOKEN_ADDR or FLOW2API_GENERATION_ADDR says where it is, also beside the service itself.
    """
    run_command(_check(service))
    output().print(f"the {service} service serves")


async def _check(service: GrpcService) -> None:
    from flow2api_common.grpc_client import is_serving, open_channel

    settings = load_settings(HealthSettings)
    address, server_name = {
        GrpcService.TOKEN: (settings.token_addr, settings.token_server_name),
        GrpcService.GENERATION: (settings.generation_addr, settings.generation_server_name),
    }[service]
    tls = settings.client_tls(server_name)
    async with open_channel(address, service_token=settings.service_token, tls=tls) as channel:
        try:
            serves = await is_serving(channel, service=service, timeout=_TIMEOUT)
        except Flow2APIError as exc:
            raise ApiError(exc.message) from exc
    if not serves:
        raise ApiError(f"the {service} service does not serve just now")
