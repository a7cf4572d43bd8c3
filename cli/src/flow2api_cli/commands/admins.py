"""``flow2api admins``: who administers, and where they are logged in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, reported_errors, run_command
from flow2api_cli.credentials import open_admin_api
from flow2api_cli.unlocking import unlock_logins

app = typer.Typer(no_args_is_help=True, help="Administrators and their sessions.")

_COLUMNS = {"id": "ID", "username": "NAME", "created_at": "CREATED"}
_SESSION_COLUMNS = {
    "id": "ID",
    "username": "NAME",
    "created_at": "SINCE",
    "expires_at": "UNTIL",
    "client_address": "FROM",
    "user_agent": "WITH",
    "is_current": "THIS",
}

AdminIdArgument = Annotated[str, typer.Argument(help="Its id.")]
PasswordFileOption = Annotated[
    Path | None, typer.Option("--password-file", help="Read the password from this file, '-' for standard input.")
]


@app.command("list")
def list_admins(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the administrators."""
    print_rows(_call("GET", "/admin/admins", url), _COLUMNS, as_json=as_json)


@app.command("create")
def create_admin(
    name: Annotated[str, typer.Argument(help="Login name.")],
    *,
    password_file: PasswordFileOption = None,
    url: UrlOption = None,
) -> None:
    """Make an administrator. The password (8 characters or more) is asked for without showing it."""
    body = {"username": name, "password": _read_password(password_file)}
    admin = _call("POST", "/admin/admins", url, body)
    output().print(f"made administrator {admin['id']} ({admin['username']})", markup=False)


@app.command("delete")
def delete_admin(admin_id: AdminIdArgument, *, url: UrlOption = None) -> None:
    """Remove an administrator, with their sessions. The last one stays."""
    _call("DELETE", f"/admin/admins/{admin_id}", url)
    output().print(f"removed administrator {admin_id}", markup=False)


@app.command("reset-password")
def reset_password(
    admin_id: AdminIdArgument, *, password_file: PasswordFileOption = None, url: UrlOption = None
) -> None:
    """Give an administrator a new password, and end their sessions."""
    _call("POST", f"/admin/admins/{admin_id}/password", url, {"new_password": _read_password(password_file)})
    output().print(f"changed the password of {admin_id}", markup=False)


@app.command("sessions")
def list_sessions(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List who is logged in, since when and from where."""
    print_rows(_call("GET", "/admin/sessions", url), _SESSION_COLUMNS, as_json=as_json)


@app.command("end-session")
def end_session(session_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """End a session, at once."""
    _call("DELETE", f"/admin/sessions/{session_id}", url)
    output().print(f"ended session {session_id}", markup=False)


@app.command("end-sessions")
def end_sessions(
    *,
    admin_id: Annotated[str, typer.Option("--admin", help="Only those of this administrator, by id.")] = "",
    url: UrlOption = None,
) -> None:
    """End all sessions, at once."""
    params = {"admin_id": admin_id, "keep_current": "false"}
    answer = _call("DELETE", "/admin/sessions", url, params=params)
    output().print(f"ended {answer['ended']} sessions", markup=False)


@app.command("unlock")
def unlock(
    name: Annotated[str, typer.Argument(help="Login name that is closed after wrong logins.")] = "",
    *,
    address: Annotated[str, typer.Option(help="Address that is closed.")] = "",
) -> None:
    """Forget wrong logins. Speaks gRPC to the token service, with the service token: no login is needed for it.

    FLOW2API_TOKEN_ADDR and FLOW2API_SERVICE_TOKEN say how; where the all-in-one mode runs on this machine they are
    found in its state directory.
    """
    if not name and not address:
        raise typer.BadParameter("name a login name, or an address with --address")
    run_command(unlock_logins(username=name, client_address=address))
    output().print(f"unlocked {' and '.join(filter(None, (name, address)))}", markup=False)


def _call(
    method: str, path: str, url: str | None, body: dict[str, Any] | None = None, params: dict[str, str] | None = None
) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, json=body, params=params)

    return run_command(command())


def _read_password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    with reported_errors():
        text = typer.get_text_stream("stdin").read() if str(file) == "-" else file.read_text(encoding="utf-8")
    return text.rstrip("\r\n")
