"""``flow2api keys``: the API keys of applications."""

from __future__ import annotations

from datetime import UTC, datetime
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
    "weight": "WEIGHT",
    "requests_per_minute": "PER MINUTE",
    "daily_credit_budget": "CREDITS/DAY",
    "daily_budget_usd": "USD/DAY",
    "allowed_models": "MODELS",
    "expires_at": "EXPIRES",
    "is_active": "ACTIVE",
    "created_at": "CREATED",
}

MaxConcurrencyOption = Annotated[
    int | None, typer.Option(help="Generations in flight; more wait. -1 is unlimited.", min=-1)
]
WeightOption = Annotated[
    int | None, typer.Option(help="Share when generations wait: 2 is served twice as often as 1.", min=1)
]
RequestsPerMinuteOption = Annotated[int | None, typer.Option(help="More are refused. -1 is unlimited.", min=-1)]
DailyCreditBudgetOption = Annotated[int | None, typer.Option(help="Credits a day (UTC). -1 is unlimited.", min=-1)]
DailyBudgetUsdOption = Annotated[
    float | None, typer.Option(help="US dollars a day (UTC), to the millionth. -1 is unlimited.", min=-1)
]
AllowModelOption = Annotated[
    list[str] | None,
    typer.Option(help="A model that it may use, or a pattern such as 'veo-*'; may be repeated. Default: all."),
]
ExpiresOption = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"], help="When it ends; UTC unless it says more."
    ),
]


@app.command("list")
def list_keys(*, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the API keys; the keys themselves are stored hashed and cannot be shown."""

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", "/admin/keys")

    print_rows(run_command(command()), _COLUMNS, as_json=as_json)


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whom it is for.")],
    *,
    max_concurrency: MaxConcurrencyOption = None,
    weight: WeightOption = None,
    requests_per_minute: RequestsPerMinuteOption = None,
    daily_credit_budget: DailyCreditBudgetOption = None,
    daily_budget_usd: DailyBudgetUsdOption = None,
    allow_model: AllowModelOption = None,
    expires: ExpiresOption = None,
    url: UrlOption = None,
) -> None:
    """Make an API key and show it, this once."""
    chosen: dict[str, Any] = {
        "max_concurrency": max_concurrency,
        "weight": weight,
        "requests_per_minute": requests_per_minute,
        "daily_credit_budget": daily_credit_budget,
        "daily_budget_usd": daily_budget_usd,
        "allowed_models": allow_model,
        "expires_at": _seconds(expires),
    }
    body = {"name": name} | {field: value for field, value in chosen.items() if value is not None}

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("POST", "/admin/keys", json=body)

    output().print(run_command(command())["key"], markup=False, soft_wrap=True)


@app.command("update")
def update_key(
    key_id: Annotated[str, typer.Argument(help="Its id.")],
    *,
    name: Annotated[str | None, typer.Option(help="Whom it is for.")] = None,
    max_concurrency: MaxConcurrencyOption = None,
    weight: WeightOption = None,
    requests_per_minute: RequestsPerMinuteOption = None,
    daily_credit_budget: DailyCreditBudgetOption = None,
    daily_budget_usd: DailyBudgetUsdOption = None,
    allow_model: AllowModelOption = None,
    allow_all_models: Annotated[bool, typer.Option("--allow-all-models", help="Let it use every model.")] = False,
    expires: ExpiresOption = None,
    never_expires: Annotated[bool, typer.Option("--never-expires", help="Let it last.")] = False,
    url: UrlOption = None,
) -> None:
    """Change what an API key may do, at once; what is left out stays, and what is in flight goes on."""
    if (allow_model and allow_all_models) or (expires and never_expires):
        raise typer.BadParameter("these options exclude each other")
    chosen: dict[str, Any] = {
        "name": name,
        "max_concurrency": max_concurrency,
        "weight": weight,
        "requests_per_minute": requests_per_minute,
        "daily_credit_budget": daily_credit_budget,
        "daily_budget_usd": daily_budget_usd,
        "allowed_models": [] if allow_all_models else allow_model,
        "expires_at": _seconds(expires),
    }
    body = {field: value for field, value in chosen.items() if value is not None}
    if never_expires:
        body["expires_at"] = None
    if not body:
        raise typer.BadParameter("name something to change")

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("PATCH", f"/admin/keys/{key_id}", json=body)

    print_rows([run_command(command())], _COLUMNS, as_json=False)


@app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="Its id.")], *, url: UrlOption = None) -> None:
    """End an API key; requests with it are refused at once."""

    async def command() -> None:
        async with open_admin_api(url) as api:
            await api.call("DELETE", f"/admin/keys/{key_id}")

    run_command(command())
    output().print(f"revoked key {key_id}", markup=False)


def _seconds(time: datetime | None) -> int | None:
    if time is None:
        return None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
