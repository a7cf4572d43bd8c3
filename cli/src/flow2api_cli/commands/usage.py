"""``flow2api usage``: what generations cost."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api

app = typer.Typer(no_args_is_help=True, help="What generations cost: credits and money, by key, token, model and day.")

_DIMENSION_COLUMNS = {
    "day": "DAY",
    "api_key_id": "KEY",
    "token_id": "TOKEN",
    "model_id": "MODEL",
    "operation": "OPERATION",
    "provider": "PROVIDER",
}
_SUM_COLUMNS = {
    "outputs": "MADE",
    "settled_credits": "SPENT",
    "open_credits": "OPEN",
    "disputed_credits": "DISPUTED",
    "released_credits": "GIVEN BACK",
    "settled_usd": "SPENT USD",
    "open_usd": "OPEN USD",
}
_ENTRY_COLUMNS = {
    "generation_id": "GENERATION",
    "line": "LINE",
    "state": "STATE",
    "credits": "CREDITS",
    "usd": "USD",
    "model": "MODEL",
    "api_key_id": "KEY",
    "token_id": "TOKEN",
    "reason": "REASON",
    "created_at": "CREATED",
}

KeyOption = Annotated[str | None, typer.Option("--key", help="Only of this API key, by its id.")]
TokenOption = Annotated[int | None, typer.Option("--token", help="Only of this token.", min=1)]
ModelOption = Annotated[str | None, typer.Option("--model", help="Only of this model.")]
FromOption = Annotated[str | None, typer.Option("--from", help="First UTC day, YYYY-MM-DD.")]
ToOption = Annotated[str | None, typer.Option("--to", help="Last UTC day, YYYY-MM-DD.")]


class Decision(StrEnum):
    """What became of a disputed charge."""

    SETTLED = "settled"
    RELEASED = "released"


@app.command("show")
def show_usage(
    *,
    by: Annotated[
        str, typer.Option(help="What to sum up by: day, api_key, token, model, operation, provider.")
    ] = "day,api_key",
    key: KeyOption = None,
    token: TokenOption = None,
    model: ModelOption = None,
    first_day: FromOption = None,
    last_day: ToOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up what generations cost."""
    rows = _call("GET", "/admin/usage", url, {"by": by} | _filter(key, token, model, first_day, last_day))
    if not as_json:
        rows = [
            row | {f"{name}_usd": _dollars(row[f"{name}_micro_usd"]) for name in ("settled", "open")} for row in rows
        ]
    columns = {name: title for name, title in _DIMENSION_COLUMNS.items() if rows and name in rows[0]}
    print_rows(rows, columns | _SUM_COLUMNS, as_json=as_json)


@app.command("entries")
def list_entries(
    *,
    state: Annotated[
        str | None, typer.Option(help="Only in this state: reserved, charged, disputed, settled, released.")
    ] = None,
    generation: Annotated[str | None, typer.Option(help="Only of this video or picture generation.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 50,
    key: KeyOption = None,
    token: TokenOption = None,
    model: ModelOption = None,
    first_day: FromOption = None,
    last_day: ToOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries of the ledger."""
    chosen = {"state": state, "generation_id": generation, "limit": limit}
    params = {name: value for name, value in chosen.items() if value is not None}
    rows = _call("GET", "/admin/ledger", url, params | _filter(key, token, model, first_day, last_day))
    if not as_json:
        rows = [row | {"usd": None if row["micros"] is None else _dollars(row["micros"])} for row in rows]
    print_rows(rows, _ENTRY_COLUMNS, as_json=as_json)


@app.command("resolve")
def resolve_entry(
    generation: Annotated[str, typer.Argument(help="The generation, e.g. video_….")],
    decision: Annotated[Decision, typer.Argument(help="Whether the upstream has taken its price.")],
    *,
    line: Annotated[str, typer.Option(help="Which of its entries.")] = "generate",
    url: UrlOption = None,
) -> None:
    """Decide a disputed entry: 'settled' if the upstream has taken its price, 'released' if not."""
    entry = _call("POST", f"/admin/ledger/{generation}/{line}/resolve", url, json={"state": decision.value})
    output().print(f"{entry['generation_id']} {entry['line']} is {entry['state']}", markup=False)


def _dollars(micros: int) -> str:
    return f"{micros / 1_000_000:.6f}"


def _filter(
    key: str | None, token: int | None, model: str | None, first_day: str | None, last_day: str | None
) -> dict[str, Any]:
    chosen = {"api_key_id": key, "token_id": token, "model": model, "from": first_day, "to": last_day}
    return {name: value for name, value in chosen.items() if value is not None}


def _call(
    method: str, path: str, url: str | None, params: dict[str, Any] | None = None, json: dict[str, Any] | None = None
) -> Any:
    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call(method, path, params=params, json=json)

    return run_command(command())
