"""``flow2api tokens``: the pool of upstream accounts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, reported_errors, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="The pool of upstream accounts.")

_COLUMNS = {
    "id": "ID",
    "provider": "PROVIDER",
    "email": "ACCOUNT",
    "is_active": "ACTIVE",
    "state": "STATE",
    "state_reason": "REASON",
    "credits": "CREDITS",
    "user_paygate_tier": "TIER",
    "remark": "REMARK",
}


class ProviderName(StrEnum):
    """The upstream families."""

    FLOW = "flow"
    GEMINI = "gemini"
    VERTEX = "vertex"


# The field of POST /admin/tokens that carries the credential, and how people call it.
_CREDENTIALS = {
    ProviderName.FLOW: ("st", "Session token"),
    ProviderName.GEMINI: ("api_key", "API key"),
    ProviderName.VERTEX: ("service_account", "Service-account key (JSON)"),
}


@app.command("list")
def list_tokens(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the tokens with their health; secrets are masked."""

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", "/admin/tokens")

    print_rows(run_command(command()), _COLUMNS, as_json=as_json)


@app.command("add")
def add_token(
    *,
    provider: Annotated[ProviderName, typer.Option(help="Upstream family.")] = ProviderName.FLOW,
    credential_file: Annotated[
        Path | None, typer.Option(help="File with the credential, '-' for standard input; asked for when left out.")
    ] = None,
    remark: Annotated[str, typer.Option(help="A note for people.")] = "",
    project_id: Annotated[str | None, typer.Option(help="Upstream project; made when left out.")] = None,
    image_concurrency: Annotated[int | None, typer.Option(help="Images at once; -1 is unlimited.")] = None,
    video_concurrency: Annotated[int | None, typer.Option(help="Videos at once; -1 is unlimited.")] = None,
    url: UrlOption = None,
) -> None:
    """Add an upstream account. Its credential is asked for without showing it, and never an argument."""
    field, title = _CREDENTIALS[provider]
    with reported_errors():
        credential = _read_credential(title, credential_file)
    optional = {
        "remark": remark or None,
        "project_id": project_id,
        "image_concurrency": image_concurrency,
        "video_concurrency": video_concurrency,
    }
    body = {"provider": provider.value, field: credential} | {k: v for k, v in optional.items() if v is not None}

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/tokens", json=body)

    token = _token_of(run_command(command()))
    output().print(f"added token {token.get('id')} ({token.get('email') or provider.value})", markup=False)


@app.command("delete")
def delete_token(token_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """Remove a token from the pool."""
    _change("DELETE", f"/admin/tokens/{token_id}", url)
    output().print(f"deleted token {token_id}", markup=False)


@app.command("enable")
def enable_token(token_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """Let a token work again."""
    _change("POST", f"/admin/tokens/{token_id}/enable", url)
    output().print(f"enabled token {token_id}", markup=False)


@app.command("disable")
def disable_token(token_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """Give a token no new work; what runs on it is finished."""
    _change("POST", f"/admin/tokens/{token_id}/disable", url)
    output().print(f"disabled token {token_id}", markup=False)


@app.command("refresh")
def refresh_token(token_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """Renew the access token and the credits of a token now."""
    _change("POST", f"/admin/tokens/{token_id}/refresh", url)
    output().print(f"refreshed token {token_id}", markup=False)


def _change(method: str, path: str, url: str | None) -> None:
    async def command() -> None:
        async with open_admin_api(url) as api:
            await api.call(method, path)

    run_command(command())


def _read_credential(title: str, file: Path | None) -> str:
    if file is None:
        return str(typer.prompt(title, hide_input=True)).strip()
    if str(file) == "-":
        return typer.get_text_stream("stdin").read().strip()
    return file.read_text(encoding="utf-8").strip()


def _token_of(answer: Any) -> dict[str, Any]:
    """The token object of an answer, which may wrap it as ``token``."""
    return dict(answer.get("token", answer))
