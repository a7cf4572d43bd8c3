"""``flow2api routes``: which routes serve the models, in which order."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="The routes of the models: switches and order, changed at once.")

_COLUMNS = {
    "model": "MODEL",
    "place": "PLACE",
    "route": "ROUTE",
    "enabled": "ON",
    "reason": "REASON",
    "changed_by": "BY",
    "changed_at": "SINCE",
    "retry_at": "TRIED AGAIN",
}
RouteArgument = Annotated[str, typer.Argument(help="As 'list' shows it, e.g. vertex/veo-3.1-fast-generate-001.")]


@app.command("list")
def list_routes(
    *,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the routes of the models in the order in which they are tried."""
    rows = _call("GET", "/admin/routes", url, params={"model": model} if model else None)
    print_rows(rows if as_json else _flat(rows), _COLUMNS, as_json=as_json)


@app.command("off")
def switch_off(
    route: RouteArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
    url: UrlOption = None,
) -> None:
    """Send nothing there any more, for every model that has this route; what is under way goes on."""
    _change({"route": route, "enabled": False, "reason": reason}, url)


@app.command("on")
def switch_on(route: RouteArgument, *, url: UrlOption = None) -> None:
    """Use a route again, also one that the upstream's 404 has switched off."""
    _change({"route": route, "enabled": True}, url)


@app.command("order")
def reorder(
    model: Annotated[str, typer.Argument(help="Its id, or a pattern such as 'gemini-3.0-pro-image*'.")],
    routes: Annotated[list[str] | None, typer.Argument(help="The routes, the first to be tried first.")] = None,
    *,
    url: UrlOption = None,
) -> None:
    """Set the order in which the routes of a model are tried; without routes, the catalog's order."""
    _change({"model": model, "order": routes or []}, url)


def _change(body: dict[str, Any], url: str | None) -> None:
    print_rows(_flat(_call("PUT", "/admin/routes", url, json=body)), _COLUMNS, as_json=False)


def _flat(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"model": model["model"], "place": place} | route
        for model in models
        for place, route in enumerate(model["routes"], 1)
    ]


def _call(
    method: str, path: str, url: str | None, *, params: dict[str, Any] | None = None, json: dict[str, Any] | None = None
) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, params=params, json=json)

    return run_command(command())
