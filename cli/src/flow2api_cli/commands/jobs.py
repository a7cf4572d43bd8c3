"""``flow2api jobs``: the video jobs of our API key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api, open_public_api

app = typer.Typer(no_args_is_help=True, help="Video jobs.")

_COLUMNS = {
    "id": "ID",
    "status": "STATUS",
    "progress": "PROGRESS",
    "model": "MODEL",
    "seconds": "SECONDS",
    "size": "SIZE",
    "prompt": "PROMPT",
}

_ATTEMPT_COLUMNS = {
    "started_at": "STARTED",
    "route": "ROUTE",
    "where": "ACCOUNT",
    "passed_by": "PASSED BY",
    "outcome": "OUTCOME",
    "reason": "REASON",
    "next": "NEXT",
}


@app.command("list")
def list_jobs(
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many, newest first.")] = 20,
    status: Annotated[str, typer.Option(help="Only these, e.g. in_progress or cancelled,expired.")] = "",
    model: Annotated[str, typer.Option(help="Only of this model.")] = "",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest video jobs."""
    answer = _call("GET", "/v1/videos", url, {"limit": limit, "status": status, "model": model})
    print_rows(answer["data"], _COLUMNS, as_json=as_json)


@app.command("show")
def show_job(
    job_id: Annotated[str, typer.Argument(help="Its id, video_….")],
    *,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Also where it was tried and why it went on; asks the administration.")
    ] = False,
    url: UrlOption = None,
) -> None:
    """Show one video job."""
    if not attempts:
        output().print_json(data=_call("GET", f"/v1/videos/{job_id}", url))
        return

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", f"/admin/jobs/{job_id}")

    job = run_command(command())
    tries = job.pop("attempts")
    output().print_json(data=job)
    print_rows([_attempt_row(attempt) for attempt in tries], _ATTEMPT_COLUMNS, as_json=False)


@app.command("cancel")
def cancel_job(job_id: Annotated[str, typer.Argument(help="Its id, video_….")], *, url: UrlOption = None) -> None:
    """Cancel a video job that is not finished."""
    answer = _call("POST", f"/v1/videos/{job_id}/cancel", url)
    output().print(f"{answer['id']} is {answer['status']}", markup=False)


def _attempt_row(attempt: Mapping[str, Any]) -> dict[str, Any]:
    names = (f"#{attempt['token_id']}", attempt["account"], attempt["location"], attempt["remark"])
    return {
        **attempt,
        "route": f"{attempt['provider']}/{attempt['upstream_model']}",
        "where": " ".join(name for name in names if name),
        "passed_by": ", ".join(attempt["passed_by"]),
    }


def _call(method: str, path: str, url: str | None, params: dict[str, Any] | None = None) -> Any:
    async def command() -> Any:
        async with open_public_api(url) as api:
            return await api.call(method, path, params=params)

    return run_command(command())
