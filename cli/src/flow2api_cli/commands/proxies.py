"""``flow2api proxies``: through which the accounts speak to the upstream."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, reported_errors, run_command
from flow2api_cli.credentials import open_admin_api
from flow2api_cli.running import EXIT_FAILED

app = typer.Typer(no_args_is_help=True, help="The proxies of the pool.")

_COLUMNS = {
    "id": "ID",
    "url": "ADDRESS",
    "name": "NAME",
    "enabled": "ENABLED",
    "state": "STATE",
    "state_reason": "REASON",
    "latency_ms": "MS",
    "token_count": "TOKENS",
    "last_check_at": "CHECKED",
}
_IMPORT_COUNTS = {"added": "added", "exists": "known already", "failed": "failed"}
ProxyArgument = Annotated[str, typer.Argument(help="Its id.")]


@app.command("list")
def list_proxies(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the proxies with their health; logins are not shown."""

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", "/admin/proxies")

    print_rows(run_command(command()), _COLUMNS, as_json=as_json)


@app.command("add")
def add_proxies(
    file: Annotated[
        Path | None,
        typer.Argument(help="File with one address a line, '-' for standard input; asked for when left out."),
    ] = None,
    *,
    name: Annotated[str, typer.Option(help="What to call it, when one is asked for.")] = "",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add proxies: scheme://[user:password@]host:port, with http, https, socks5 or socks5h. Never an argument, as they
    hold passwords."""
    if file is None:
        address = str(typer.prompt("Address", hide_input=True)).strip()
        proxy = _call("POST", "/admin/proxies", url, json={"url": address, "name": name})
        output().print(f"added proxy {proxy['id']} ({proxy['url']})", markup=False, soft_wrap=True)
        return
    with reported_errors():
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text(encoding="utf-8")
    answer = _call("POST", "/admin/proxies/import", url, text=text)
    if as_json:
        print_rows(answer["results"], {}, as_json=True)
    else:
        failed = [{"at": at, **row} for at, row in enumerate(answer["results"], 1) if row["status"] == "failed"]
        if failed:
            print_rows(failed, {"at": "ADDRESS", "reason": "REASON", "message": "MESSAGE"}, as_json=False)
        output().print(", ".join(f"{answer[key]} {title}" for key, title in _IMPORT_COUNTS.items()), markup=False)
    if answer["failed"]:
        raise typer.Exit(EXIT_FAILED)


@app.command("remove")
def remove_proxy(proxy_id: ProxyArgument, *, url: UrlOption = None) -> None:
    """Remove a proxy; its tokens get another one."""
    _call("DELETE", f"/admin/proxies/{proxy_id}", url)
    output().print(f"removed proxy {proxy_id}", markup=False)


@app.command("enable")
def enable_proxy(proxy_id: ProxyArgument, *, url: UrlOption = None) -> None:
    """Let a proxy be used again."""
    _call("POST", f"/admin/proxies/{proxy_id}/enable", url)
    output().print(f"enabled proxy {proxy_id}", markup=False)


@app.command("disable")
def disable_proxy(proxy_id: ProxyArgument, *, url: UrlOption = None) -> None:
    """Have a proxy neither used nor checked."""
    _call("POST", f"/admin/proxies/{proxy_id}/disable", url)
    output().print(f"disabled proxy {proxy_id}", markup=False)


@app.command("check")
def check_proxy(proxy_id: ProxyArgument, *, url: UrlOption = None) -> None:
    """Ask the upstream over a proxy now; fails when it does not let us through."""
    proxy = _call("POST", f"/admin/proxies/{proxy_id}/check", url, timeout_seconds=130.0)
    if not proxy["passed"]:
        output().print(f"proxy {proxy_id} does not work: {proxy['state_reason']}", markup=False)
        raise typer.Exit(EXIT_FAILED)
    output().print(f"proxy {proxy_id} works ({proxy['latency_ms']} ms)", markup=False)


def _call(method: str, path: str, url: str | None, **content: Any) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, **content)

    return run_command(command())
