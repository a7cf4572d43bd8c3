"""``flow2api doctor``: what is missing or does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

import typer
from rich.markup import escape

from flow2api_cli import checks
from flow2api_cli.checks import CheckResult, run_check
from flow2api_cli.commands.configuration import Part, mistakes_of
from flow2api_cli.commands.options import UrlOption
from flow2api_cli.console import output, run_command
from flow2api_cli.credentials import gateway_url
from flow2api_cli.running import EXIT_FAILED
from flow2api_cli.settings import AllInOneSettings
from flow2api_common.settings import load_settings


def doctor(*, url: UrlOption = None) -> None:
    """Check settings, servers and upstreams; exit code 1 when something is wrong. Prints no secret."""
    results = [_settings_check(), *run_command(_checks(url))]
    console = output()
    for result in results:
        mark = "[green]ok  [/]" if result.is_ok else "[bold red]FAIL[/]"
        console.print(f"{mark} {result.name}: {escape(result.detail)}", soft_wrap=True)
    if not all(result.is_ok for result in results):
        raise typer.Exit(EXIT_FAILED)


def _settings_check() -> CheckResult:
    mistakes = mistakes_of(Part.ALL_IN_ONE)
    return CheckResult("settings", is_ok=not mistakes, detail="; ".join(mistakes) or "no mistakes")


async def _checks(url: str | None) -> list[CheckResult]:
    settings = load_settings(AllInOneSettings)
    pending: list[Awaitable[CheckResult]] = [
        run_check("state directory", partial(checks.state_directory, settings.state_dir.expanduser().resolve()))
    ]
    if settings.redis_url is None:
        pending.append(run_check("private Redis", checks.redis_program))
    else:
        pending.append(run_check("Redis", partial(checks.tcp_server, settings.redis_url.get_secret_value())))
    if settings.nats_url is None:
        pending.append(run_check("private NATS", checks.nats_program))
    else:
        pending.append(run_check("NATS", partial(checks.tcp_server, settings.nats_url.get_secret_value())))
    if settings.database_url is not None and settings.database_url.get_secret_value().startswith("postgresql"):
        pending.append(run_check("PostgreSQL", partial(checks.tcp_server, settings.database_url.get_secret_value())))
    pending += [run_check(name, partial(checks.http_server, where)) for name, where in checks.upstream_urls().items()]
    pending.append(run_check("gateway", partial(checks.gateway_ready, gateway_url(url), must_run=url is not None)))
    return list(await asyncio.gather(*pending))
