"""``flow2api up``: everything in one process."""

from __future__ import annotations

import typer

from flow2api_cli.all_in_one import Installation, check_settings, running_installation
from flow2api_cli.console import notices, output, reported_errors
from flow2api_cli.running import run_until_stopped
from flow2api_cli.service_table import SERVICE_NAMES, import_services
from flow2api_cli.settings import AllInOneSettings
from flow2api_common.logs import configure_logging
from flow2api_common.settings import load_settings


def up() -> None:
    """Run everything in one process, with private Redis and NATS servers, SQLite, and media on disk.

    Ctrl-C stops it, a second Ctrl-C at once. Accounts are added with 'flow2api tokens add'.
    """
    with reported_errors():
        settings = load_settings(AllInOneSettings)
        check_settings(settings)
        configure_logging(settings, "flow2api")
        notices().print("starting …")
        import_services(SERVICE_NAMES)
        code = run_until_stopped(_serve(settings))
    notices().print("stopped")
    raise typer.Exit(code)


async def _serve(settings: AllInOneSettings) -> None:
    from flow2api_common.telemetry import metrics_server, setup_telemetry

    setup_telemetry(settings, "flow2api")
    async with metrics_server(settings), running_installation(settings) as installation:
        print_installation(installation, settings)
        output().print("Ctrl-C stops it.")
        await installation.components.wait()


def print_installation(installation: Installation, settings: AllInOneSettings) -> None:
    """Say where the gateway is; show secrets that were made just now, this once."""
    console = output()
    console.print(f"[bold green]Flow2API[/] serves at [bold]{installation.base_url}[/]")
    console.print(f"  API        {installation.base_url}/v1", soft_wrap=True)
    console.print(f"  state      {installation.state.root}", soft_wrap=True)
    generated = {
        "api_key": ("API key", ""),
        "admin_password": ("admin", f"{settings.admin_username} / "),
    }
    for name, (title, prefix) in generated.items():
        if name in installation.generated:
            secret = getattr(installation.secrets, name).get_secret_value()
            console.print(f"  {title:<10} {prefix}{secret}", soft_wrap=True, markup=False)
    if {"api_key", "admin_password"} & set(installation.generated):
        console.print(f"  kept in    {installation.state.secrets_file}", soft_wrap=True)
