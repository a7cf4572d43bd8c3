"""``flow2api sandbox``: the stand-in upstream alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from flow2api_cli.console import output, reported_errors
from flow2api_cli.running import run_until_stopped

if TYPE_CHECKING:
    from flow2api_sandbox.server import RunningSandbox


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8090,
    time_scale: Annotated[float, typer.Option(min=0, help="Factor on how long everything takes; 0 is at once.")] = 1.0,
) -> None:
    """Run the stand-in for every upstream; further settings are FLOW2API_SANDBOX_* variables.

    Prints the variables that point a Flow2API at it.
    """
    with reported_errors():
        code = run_until_stopped(_serve(host, port, time_scale))
    raise typer.Exit(code)


async def _serve(host: str, port: int, time_scale: float) -> None:
    from flow2api_sandbox.server import running_sandbox
    from flow2api_sandbox.settings import SandboxSettings

    async with running_sandbox(SandboxSettings(host=host, port=port, time_scale=time_scale)) as running:
        console = output()
        for name, value in upstream_urls(running).items():
            console.print(f"export FLOW2API_{name.upper()}={value}", soft_wrap=True)
        console.print(
            "# session tokens sandbox-st-1, …; Gemini keys sandbox-key-1, …; express keys sandbox-express-1, …"
        )
        account = "sandbox-sa-1@sandbox-project-1.iam.gserviceaccount.com"
        console.print(
            f"# service-account key file: curl -X POST {running.control_url}/service-accounts/{account}/keys",
            soft_wrap=True,
        )
        console.print("# Ctrl-C stops it")
        await asyncio.Event().wait()


def upstream_urls(sandbox: RunningSandbox) -> dict[str, str]:
    """The settings that point a service at a sandbox."""
    return {
        "flow_labs_url": sandbox.flow_labs_url,
        "flow_api_url": sandbox.flow_api_url,
        "gemini_url": sandbox.gemini_url,
        "vertex_url": sandbox.vertex_url,
        "google_token_url": sandbox.token_url,
        "google_metadata_url": sandbox.metadata_url,
        "google_storage_url": sandbox.storage_url,
    }
