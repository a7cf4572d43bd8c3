"""``flow2api webhooks``: what receivers were told, and what they did not take."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="Deliveries of webhooks.")

_DELIVERY_COLUMNS = {
    "id": "ID",
    "event_type": "EVENT",
    "video_id": "VIDEO",
    "url": "URL",
    "state": "STATE",
    "attempt_count": "ATTEMPTS",
    "last_status_code": "STATUS",
    "last_error": "ERROR",
    "next_attempt_at": "NEXT",
}
_ENDPOINT_COLUMNS = {
    "id": "ID",
    "api_key_id": "KEY",
    "name": "NAME",
    "url": "URL",
    "event_types": "EVENTS",
    "enabled": "ENABLED",
    "disabled_reason": "REASON",
}
_DeliveryArgument = Annotated[str, typer.Argument(help="Its id, whd_….")]


@app.command("list")
def list_deliveries(
    *,
    state: Annotated[str, typer.Option(help="Only these: pending, delivered or failed.")] = "",
    video: Annotated[str, typer.Option(help="Only about this video.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest deliveries."""
    params = {"state": state, "video_id": video, "limit": limit}
    print_rows(_call("GET", "/deliveries", url, params), _DELIVERY_COLUMNS, as_json=as_json)


@app.command("show")
def show_delivery(delivery_id: _DeliveryArgument, *, url: UrlOption = None) -> None:
    """Show one delivery with its attempts and what is posted."""
    output().print_json(data=_call("GET", f"/deliveries/{delivery_id}", url))


@app.command("replay")
def replay_deliveries(
    delivery_ids: Annotated[list[str], typer.Argument(help="Their ids, whd_….")], *, url: UrlOption = None
) -> None:
    """Send deliveries again, under their webhook ids."""
    for delivery_id in delivery_ids:
        answer = _call("POST", f"/deliveries/{delivery_id}/replay", url)
        output().print(f"{answer['id']} is {answer['state']}", markup=False)


@app.command("endpoints")
def list_endpoints(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the receivers that API keys have registered."""
    print_rows(_call("GET", "/endpoints", url), _ENDPOINT_COLUMNS, as_json=as_json)


def _call(method: str, path: str, url: str | None, params: dict[str, Any] | None = None) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, f"/admin/webhooks{path}", params=params)

    return run_command(command())
