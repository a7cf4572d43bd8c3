"""``flow2api settings``: what can be changed while everything runs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="Settings that can be changed while everything runs.")

_COLUMNS = {
    "name": "NAME",
    "value": "VALUE",
    "default": "DEFAULT",
    "changed_by": "BY",
    "changed_at": "SINCE",
    "description": "",
}
_CHANGE_COLUMNS = {"created_at": "WHEN", "changed_by": "WHO", "name": "WHAT", "before": "BEFORE", "after": "AFTER"}
NameArgument = Annotated[str, typer.Argument(help="As 'list' shows it.")]


@app.command("list")
def list_settings(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List them with their values."""
    print_rows(_call("GET", "/admin/settings", url), _COLUMNS, as_json=as_json)


@app.command("set")
def change_setting(
    name: NameArgument,
    value: Annotated[str, typer.Argument(help="A number, true or false. Durations are seconds.")],
    *,
    url: UrlOption = None,
) -> None:
    """Change one; every replica knows it within a second."""
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = value
    _show(name, _call("PUT", "/admin/settings", url, json={name: parsed}))


@app.command("reset")
def reset_setting(name: NameArgument, *, url: UrlOption = None) -> None:
    """Take the change of one back."""
    _show(name, _call("PUT", "/admin/settings", url, json={name: None}))


@app.command("changes")
def list_changes(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was changed of settings and routes, and who did it."""
    print_rows(_call("GET", "/admin/settings/changes", url, params={"limit": limit}), _CHANGE_COLUMNS, as_json=as_json)


def _show(name: str, rows: list[dict[str, Any]]) -> None:
    print_rows([row for row in rows if row["name"] == name], _COLUMNS, as_json=False)


def _call(
    method: str, path: str, url: str | None, *, params: dict[str, Any] | None = None, json: dict[str, Any] | None = None
) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, params=params, json=json)

    return run_command(command())
