"""``flow2api tokens limits``: a token's own limits per upstream model, and how they are written on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import UrlOption
from flow2api_cli.console import output, run_command
from flow2api_cli.credentials import open_admin_api

LIMIT_HELP = (
    "MODEL=REQUESTS_PER_MINUTE[/CONCURRENCY], such as 'veo-*=10/2'; '-' leaves one to the setting, -1 is unlimited;"
    " may be repeated, the first that fits counts."
)
_UNSAID = "-"


def read_limits(texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """The limits as the administration takes them. Raises BadParameter."""
    limits: dict[str, dict[str, int]] = {}
    for text in texts:
        model, is_there, numbers = text.rpartition("=")
        per_minute, _, at_once = numbers.partition("/")
        if not model or not is_there:
            raise typer.BadParameter(f"'{text}' is not {LIMIT_HELP.partition(',')[0]}.")
        named = {"requests_per_minute": per_minute, "concurrency": at_once or _UNSAID}
        limits[model] = {name: _number(number, text) for name, number in named.items() if number != _UNSAID}
    return limits


def set_limits(
    token_id: Annotated[str, typer.Argument(help="Its id.")],
    *,
    limit: Annotated[list[str] | None, typer.Option(help=LIMIT_HELP)] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Leave everything to the setting.")] = False,
    url: UrlOption = None,
) -> None:
    """Set what a token is given of upstream models, in place of what was set before."""
    if bool(limit) == clear:
        raise typer.BadParameter("Give either --limit or --clear.")
    body = {"model_limits": read_limits(limit or ())}

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("PUT", f"/admin/tokens/{token_id}", json=body)

    run_command(command())
    output().print(f"set {len(body['model_limits'])} limits of token {token_id}", markup=False)


def _number(text: str, limit: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' in '{limit}' is no whole number.") from None
