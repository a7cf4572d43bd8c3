"""``flow2api secrets``: the key that stored secrets are sealed with."""

from __future__ import annotations

import typer

from flow2api_cli.api_client import ApiError
from flow2api_cli.console import output, run_command
from flow2api_cli.rotation import rotate
from flow2api_cli.settings import RotationSettings
from flow2api_common.errors import Flow2APIError
from flow2api_common.logs import configure_logging
from flow2api_common.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="The key that stored secrets are sealed with.")


@app.callback()
def secrets() -> None:
    """The key that stored secrets are sealed with."""


@app.command("rotate")
def rotate_key() -> None:
    """Seal every stored secret with a new key. Stop the services first; safe to repeat after a crash.

    FLOW2API_SECRET_KEY is the old key and FLOW2API_NEW_SECRET_KEY the new one. Where the state directory keeps the key,
    neither is needed: a new one is made and kept there. Links to media that were handed out end with the old key.
    """
    count = run_command(_rotate())
    output().print(f"sealed {count} secrets with the new key")


async def _rotate() -> int:
    settings = load_settings(RotationSettings)
    configure_logging(settings, "secrets")
    try:
        return await rotate(settings)
    except Flow2APIError as exc:
        raise ApiError(exc.message) from exc
