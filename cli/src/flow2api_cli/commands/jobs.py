"""``flow2api jobs``: the jobs of our API key, of videos and of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flow2api_cli.commands.options import JsonOption, UrlOption
from flow2api_cli.console import output, print_rows, run_command
from flow2api_cli.credentials import open_admin_api, open_public_api

app = typer.Typer(no_args_is_help=True, help="Jobs.")

_COLUMNS = {
    "id": "ID",
    "status": "STATUS",
    "progress": "PROGRESS",
    "model": "MODEL",
    "seconds": "SECONDS",
    "size": "SIZE",
    "prompt": "PROMPT",
}

_IMAGE_COLUMNS = {
    "id": "ID",
    "status": "STATUS",
    "progress": "PROGRESS",
    "model": "MODEL",
    "n": "PICTURES",
}
_IMAGE_JOB = "image_"

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
    model: Annotated[str, typer.Option(help="Only of this model; of videos.")] = "",
    images: Annotated[bool, typer.Option("--images", help="The image jobs instead of the videos.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest jobs: the videos, or with --images the image jobs."""
    if images:
        if model:
            raise typer.BadParameter("image jobs cannot be chosen by their model", param_hint="--model")
        answer = _call("GET", "/v1/images/generations", url, {"limit": limit, "status": status})
        print_rows(answer["data"], _IMAGE_COLUMNS, as_json=as_json)
        return
    answer = _call("GET", "/v1/videos", url, {"limit": limit, "status": status, "model": model})
    print_rows(answer["data"], _COLUMNS, as_json=as_json)


@app.command("show")
def show_job(
    job_id: Annotated[str, typer.Argument(help="Its id, video_… or image_….")],
    *,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Also where it was tried and why it went on; asks the administration.")
    ] = False,
    url: UrlOption = None,
) -> None:
    """Show one job."""
    if not attempts:
        output().print_json(data=_for_people(_call("GET", _path_of(job_id), url)))
        return

    async def command() -> Any:
        async with open_admin_api(url) as api:
            return await api.call("GET", f"/admin/jobs/{job_id}")

    job = run_command(command())
    tries = job.pop("attempts")
    output().print_json(data=job)
    print_rows([_attempt_row(attempt) for attempt in tries], _ATTEMPT_COLUMNS, as_json=False)


@app.command("cancel")
def cancel_job(
    job_id: Annotated[str, typer.Argument(help="Its id, video_… or image_….")], *, url: UrlOption = None
) -> None:
    """Cancel a job that is not finished."""
    answer = _call("POST", f"{_path_of(job_id)}/cancel", url)
    output().print(f"{answer['id']} is {answer['status']}", markup=False)


def _path_of(job_id: str) -> str:
    return f"/v1/{'images/generations' if job_id.startswith(_IMAGE_JOB) else 'videos'}/{job_id}"


def _for_people(job: dict[str, Any]) -> dict[str, Any]:
    """The job with the length of its pictures in place of their bytes."""
    for picture in job.get("data") or ():
        if picture.get("b64_json"):
            picture["b64_json"] = f"({len(picture['b64_json'])} characters)"
    return job


def _passed(route: str, why: Mapping[str, Any] | None) -> str:
    """A route and why it was passed by, such as `flow/veo_fast (2 busy, 1 quota)`."""
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(why["accounts"].items())) if why else ""
    return f"{route} ({counts})" if counts else route


def _attempt_row(attempt: Mapping[str, Any]) -> dict[str, Any]:
    names = (f"#{attempt['token_id']}", attempt["account"], attempt["location"], attempt["remark"])
    return {
        **attempt,
        "route": f"{attempt['provider']}/{attempt['upstream_model']}",
        "where": " ".join(name for name in names if name),
        "passed_by": ", ".join(_passed(route, attempt["passed_why"].get(route)) for route in attempt["passed_by"]),
    }


def _call(method: str, path: str, url: str | None, params: dict[str, Any] | None = None) -> Any:
    async def command() -> Any:
        async with open_public_api(url) as api:
            return await api.call(method, path, params=params)

    return run_command(command())
