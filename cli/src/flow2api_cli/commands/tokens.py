"""``flow2api tokens``: the pool of upstream accounts."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flow2api_cli.commands import projects
from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.commands.token_limits import LIMIT_HELP, read_limits, set_limits
from flow2api_cli.console import output, print_rows, reported_errors, run_command
from flow2api_cli.credentials import open_admin_api
from flow2api_cli.running import EXIT_FAILED

app = typer.Typer(no_args_is_help=True, help="The pool of upstream accounts.")
app.add_typer(projects.app, name="projects")
app.command("limits")(set_limits)

_COLUMNS = {
    "id": "ID",
    "provider": "PROVIDER",
    "email": "ACCOUNT",
    "location": "LOCATION",
    "is_active": "ACTIVE",
    "state": "STATE",
    "state_reason": "REASON",
    "credits": "CREDITS",
    "user_paygate_tier": "TIER",
    "remark": "REMARK",
}


PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Read the passphrase from this file; default: ask for it.")
]
_EXPORT_FORMAT = "flow2api-tokens"
_IMPORT_COUNTS = {"added": "added", "exists": "in the pool already", "failed": "failed"}
_IMPORT_SECONDS = 1800.0


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
    project_id: Annotated[
        str | None, typer.Option(help="Upstream project; made, or the credential's own, when left out.")
    ] = None,
    location: Annotated[
        list[str] | None,
        typer.Option(help="Location of vertex, such as us-central1; may be repeated: one token for each."),
    ] = None,
    machine_account: Annotated[
        bool, typer.Option("--machine-account", help="Vertex: the service account that the server runs as; no file.")
    ] = False,
    application_default: Annotated[
        bool, typer.Option("--application-default", help="Vertex: what the server is set up with; no file.")
    ] = False,
    image_concurrency: Annotated[int | None, typer.Option(help="Images at once; -1 is unlimited.")] = None,
    video_concurrency: Annotated[int | None, typer.Option(help="Videos at once; -1 is unlimited.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help=LIMIT_HELP)] = None,
    url: UrlOption = None,
) -> None:
    """Add an upstream account. Its credential is asked for without showing it, and never an argument."""
    field, title = _CREDENTIALS[provider]
    with reported_errors():
        if machine_account or application_default:
            credential = json.dumps({"type": "metadata_server" if machine_account else "application_default"})
        else:
            credential = _read_credential(title, credential_file)
    if provider is ProviderName.VERTEX and not credential.startswith("{"):
        field = "api_key"
    optional = {
        "remark": remark or None,
        "project_id": project_id,
        "image_concurrency": image_concurrency,
        "video_concurrency": video_concurrency,
        "model_limits": read_limits(limit) if limit else None,
    }
    body = {"provider": provider.value, field: credential} | {k: v for k, v in optional.items() if v is not None}
    if location and len(location) > 1:
        _add_in_locations(body, location, url)
        return
    if location:
        body["location"] = location[0]

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


@app.command("import")
def import_tokens(
    file: Annotated[Path, typer.Argument(help="JSON list, text with one session token a line, or an export.")],
    *,
    passphrase_file: PassphraseOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add many accounts; each has a result of its own, and those that are in the pool are left alone."""
    with reported_errors():
        text = _read_credential("", file)
    document = _json_of(text)
    content: dict[str, Any] = {"text": text}
    if isinstance(document, dict) and document.get("format") == _EXPORT_FORMAT:
        passphrase = _read_passphrase(passphrase_file, confirm=False)
        content = {"json": {"export": document, "passphrase": passphrase}}
    elif document is not None:
        content = {"json": document if isinstance(document, dict) else {"tokens": document}}

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/tokens/import", timeout_seconds=_IMPORT_SECONDS, **content)

    answer = run_command(command())
    if as_json:
        print_rows(answer["results"], {}, as_json=True)
    else:
        failed = [row for row in answer["results"] if row["status"] == "failed"]
        if failed:
            print_rows(failed, {"status": "STATUS", "reason": "REASON", "message": "MESSAGE"}, as_json=False)
        counts = ", ".join(f"{answer[name]} {title}" for name, title in _IMPORT_COUNTS.items())
        output().print(counts, markup=False)
    if answer["failed"]:
        raise typer.Exit(EXIT_FAILED)


@app.command("export")
def export_tokens(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    *,
    token_id: Annotated[list[int] | None, typer.Option("--id", help="Only this token; may be repeated.")] = None,
    passphrase_file: PassphraseOption = None,
    url: UrlOption = None,
) -> None:
    """Write the accounts with their secrets into a file that a passphrase seals (12 characters or more)."""
    passphrase = _read_passphrase(passphrase_file, confirm=True)

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/tokens/export", json={"passphrase": passphrase, "ids": token_id})

    document = run_command(command())
    with reported_errors(), os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
        json.dump(document, target)
    output().print(f"wrote {file}", markup=False)


def _add_in_locations(body: dict[str, Any], locations: list[str], url: str | None) -> None:
    content = {"tokens": [body | {"location": location} for location in locations]}

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/tokens/import", timeout_seconds=_IMPORT_SECONDS, json=content)

    answer = run_command(command())
    rows = [row | {"location": location} for row, location in zip(answer["results"], locations, strict=True)]
    columns = {"location": "LOCATION", "status": "STATUS", "id": "ID", "reason": "REASON", "message": "MESSAGE"}
    print_rows(rows, columns, as_json=False)
    if answer["failed"]:
        raise typer.Exit(EXIT_FAILED)


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


def _read_passphrase(file: Path | None, *, confirm: bool) -> str:
    if file is None:
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    with reported_errors():
        return _read_credential("", file)


def _json_of(text: str) -> Any:
    """The document, or None when it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _token_of(answer: Any) -> dict[str, Any]:
    """The token object of an answer, which may wrap it as ``token``."""
    return dict(answer.get("token", answer))
