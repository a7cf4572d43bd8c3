"""``flow2api serve`` and ``flow2api migrate``: one service of the distributed mode."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flow2api_cli.components import running_components
from flow2api_cli.console import notices, output, reported_errors
from flow2api_cli.running import run_until_stopped
from flow2api_cli.service_table import METRICS_ELSEWHERE, SERVICES, settings_class
from flow2api_common.logs import configure_logging
from flow2api_common.settings import BaseServiceSettings, load_settings


class Service(StrEnum):
    """The services that can run alone."""

    GATEWAY = "gateway"
    TOKEN = "token"  # noqa: S105 - the name of a service
    GENERATION = "generation"
    POLLER = "poller"


class Schema(StrEnum):
    """The services that own tables."""

    TOKEN = "token"  # noqa: S105 - the name of a service
    GENERATION = "generation"


def serve(
    service: Annotated[Service, typer.Argument(help="Which service to run.")],
    *,
    migrate_first: Annotated[bool, typer.Option("--migrate", help="Bring its tables up to date before.")] = False,
) -> None:
    """Run one service of the distributed mode; its settings are FLOW2API_* variables.

    SIGTERM or Ctrl-C drains and stops it, a second one at once.
    """
    schema = f"{service}-schema"
    names = [schema, service.value] if migrate_first and schema in SERVICES else [service.value]
    with reported_errors():
        settings = load_settings(settings_class(service))
        configure_logging(settings, service)
        code = run_until_stopped(_serve(names, settings))
    raise typer.Exit(code)


def migrate(schema: Annotated[Schema, typer.Argument(help="Whose tables.")]) -> None:
    """Bring the tables of a service up to date (FLOW2API_DATABASE_URL); safe to repeat and to run twice at once."""
    with reported_errors():
        configure_logging(load_settings(BaseServiceSettings), f"migrate-{schema}")
        code = run_until_stopped(_migrate(schema))
    output().print(f"the tables of the {schema} service are up to date")
    raise typer.Exit(code)


async def _serve(names: list[str], settings: BaseServiceSettings) -> None:
    from flow2api_common.telemetry import metrics_server, setup_telemetry

    setup_telemetry(settings, names[-1])
    async with metrics_server(settings), running_components(SERVICES, names, METRICS_ELSEWHERE) as components:
        notices().print(f"{names[-1]} is ready")
        await components.wait()


async def _migrate(schema: Schema) -> None:
    async with running_components(SERVICES, [f"{schema}-schema"], {}):
        pass
