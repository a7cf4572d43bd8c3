"""The ``flow2api`` command."""

from __future__ import annotations

from importlib.metadata import version as distribution_version

import typer

from flow2api_cli.commands import (
    admins,
    generate,
    jobs,
    keys,
    live_settings,
    proxies,
    routes,
    secrets,
    tokens,
    usage,
    webhooks,
)
from flow2api_cli.commands.configuration import check_config, print_config
from flow2api_cli.commands.demo import demo
from flow2api_cli.commands.doctor import doctor
from flow2api_cli.commands.health import health
from flow2api_cli.commands.sandbox import sandbox
from flow2api_cli.commands.serve import migrate, serve
from flow2api_cli.commands.up import up
from flow2api_cli.console import output

app = typer.Typer(
    name="flow2api",
    help="One OpenAI-compatible door to Google's image and video generation, over a pool of upstream accounts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def version() -> None:
    """Print the version."""
    output().print(distribution_version("flow2api-cli"))


for command in (up, demo, serve, migrate, sandbox, doctor, health, check_config, print_config, version):
    app.command()(command)
for name, group in (
    ("tokens", tokens.app),
    ("keys", keys.app),
    ("proxies", proxies.app),
    ("admins", admins.app),
    ("secrets", secrets.app),
    ("generate", generate.app),
    ("jobs", jobs.app),
    ("usage", usage.app),
    ("webhooks", webhooks.app),
    ("routes", routes.app),
    ("settings", live_settings.app),
):
    app.add_typer(group, name=name)
