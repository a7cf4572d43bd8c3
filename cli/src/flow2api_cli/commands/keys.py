"""``flow2api keys``: the API keys of applications."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="The API keys of applications.")

_COLUMNS = {
    "id": "ID",
    "name": "NAME",
    "prefix": "KEY",
    "max_concurrency": "LIMIT",
    "is_active": "ACTIVE",
    "created_at": "CREATED",
}


@app.command("list")
def list_keys(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the API keys; the keys themselves are stored hashed and cannot be shown."""

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", "/admin/keys")

    print_rows(run_command(command()), _COLUMNS, as_json=as_json)


@app.command("create")
def create_key(name: Annotated[str, typer.Argument(help="Whom it is for.")], *, url: UrlOption = None) -> None:
    """Make an API key and show it, this once."""

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/keys", json={"name": name})

    output().print(run_command(command())["key"], markup=False, soft_wrap=True)


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """End an API key; requests with it are refused within seconds."""

    async def command() -> None:
        async with open_admin_api(url) as api:
            await api.call("DELETE", f"/admin/keys/{key_id}")

    run_command(command())
    output().print(f"revoked key {key_id}", markup=False)
