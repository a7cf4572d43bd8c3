"""``flow2api tokens projects``: the upstream projects of a token."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="The upstream projects of a token.")

_COLUMNS = {
    "project_id": "ID",
    "project_name": "NAME",
    "is_active": "ACTIVE",
    "is_current": "CURRENT",
    "created_at": "ADDED",
}
_UPSTREAM_SECONDS = 90.0
TokenArgument = Annotated[str, typer.Argument(help="Id of the token.")]
ProjectArgument = Annotated[str, typer.Argument(help="Id of the project.")]


@app.command("list")
def list_projects(token_id: TokenArgument, *, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the projects of a token."""
    print_rows(_call("GET", _path(token_id), url), _COLUMNS, as_json=as_json)


@app.command("add")
def add_project(
    token_id: TokenArgument,
    project_id: Annotated[str | None, typer.Argument(help="Upstream id; a new one is made when left out.")] = None,
    *,
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
    url: UrlOption = None,
) -> None:
    """Give a token one more project to work in."""
    body = {"project_id": project_id, "project_name": name}
    project = _call("POST", _path(token_id), url, json=body, timeout_seconds=_UPSTREAM_SECONDS)
    output().print(f"added project {project['project_id']}", markup=False, soft_wrap=True)


@app.command("remove")
def remove_project(token_id: TokenArgument, project_id: ProjectArgument, *, url: UrlOption = None) -> None:
    """Forget a project; upstream it stays."""
    _call("DELETE", _path(token_id, project_id), url)
    output().print(f"removed project {project_id}", markup=False, soft_wrap=True)


@app.command("activate")
def activate_project(token_id: TokenArgument, project_id: ProjectArgument, *, url: UrlOption = None) -> None:
    """Let a token work in a project, as the current one."""
    _call("POST", f"{_path(token_id, project_id)}/activate", url)
    output().print(f"activated project {project_id}", markup=False, soft_wrap=True)


@app.command("deactivate")
def deactivate_project(token_id: TokenArgument, project_id: ProjectArgument, *, url: UrlOption = None) -> None:
    """Begin nothing new in a project."""
    _call("POST", f"{_path(token_id, project_id)}/deactivate", url)
    output().print(f"deactivated project {project_id}", markup=False, soft_wrap=True)


def _path(token_id: str, project_id: str | None = None) -> str:
    path = f"/admin/tokens/{quote(token_id, safe='')}/projects"
    return path if project_id is None else f"{path}/{quote(project_id, safe='')}"


def _call(method: str, path: str, url: str | None, **content: Any) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, **content)

    return run_command(command())
