"""``flow2api demo``: the whole system against the sandbox, an image and a video, all through the public API."""

from __future__ import annotations

import json
import socket
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from flow2api_cli.all_in_one import Installation, running_installation
from flow2api_cli.api_client import admin_api, public_api
from flow2api_cli.commands.generate import DEFAULT_IMAGE_MODEL, DEFAULT_VIDEO_MODEL, write_file
from flow2api_cli.commands.sandbox import upstream_urls
from flow2api_cli.console import output, progress_display, reported_errors
from flow2api_cli.generating import make_image, make_video
from flow2api_cli.media_facts import MediaBroken, clip_facts, picture_facts
from flow2api_cli.running import run_until_stopped
from flow2api_cli.service_table import SERVICE_NAMES, import_services
from flow2api_cli.settings import AllInOneSettings
from flow2api_common.logs import configure_logging
from flow2api_common.settings import load_settings

_PROMPT_IMAGE = "a lighthouse at dawn, oil on canvas"
_PROMPT_VIDEO = "waves against a pier, slow camera"
_IMAGE_SIZE = (1376, 768)
_VIDEO_SIZE = (720, 1280)
_VIDEO_SECONDS = 8
_SECONDS_TOLERANCE = 0.5
_RATIO_TOLERANCE = 0.02
_IMAGE_LATENCY = timedelta(seconds=2)
_VIDEO_DURATION = timedelta(seconds=6)
_STORING_DELAY = timedelta(0)
_POLL_INTERVAL_SECONDS = 1.0


def demo(
    *, once: Annotated[bool, typer.Option("--once", help="Stop after the two files instead of serving on.")] = False
) -> None:
    """Make an image and a video on a whole system that runs against the sandbox, then go on serving."""
    with reported_errors():
        settings = _demo_settings(load_settings(AllInOneSettings))
        configure_logging(settings, "flow2api")
        output().print("starting the sandbox, Redis, NATS and the four services …")
        import_services(SERVICE_NAMES)
        with tempfile.TemporaryDirectory(prefix="flow2api-demo-") as state_dir:
            files = settings.state_dir / "demo"
            code = run_until_stopped(
                _demo(settings.model_copy(update={"state_dir": Path(state_dir)}), files, once=once)
            )
    raise typer.Exit(code)


async def _demo(settings: AllInOneSettings, files: Path, *, once: bool) -> None:
    from flow2api_sandbox.server import running_sandbox
    from flow2api_sandbox.settings import SandboxSettings

    durations = SandboxSettings(
        port=0, image_latency=_IMAGE_LATENCY, fast_video_duration=_VIDEO_DURATION, storing_delay=_STORING_DELAY
    )
    console = output()
    async with running_sandbox(durations) as sandbox:
        own = {**upstream_urls(sandbox), "upstream_impersonate": "", "video_poll_interval": _POLL_INTERVAL_SECONDS}
        async with running_installation(settings, own=own) as installation:
            console.print(f"[bold green]Flow2API[/] serves at [bold]{installation.base_url}[/]")
            await _add_accounts(installation, settings)
            await _make_files(installation, files)
            _print_how_to_go_on(installation, settings)
            if not once:
                console.print("Ctrl-C stops it.")
                await installation.components.wait()


def _demo_settings(settings: AllInOneSettings) -> AllInOneSettings:
    """Quiet logs, and a free port when nobody asked for one and the usual one is taken."""
    changes: dict[str, object] = {}
    if "log_level" not in settings.model_fields_set:
        changes["log_level"] = "warning"
    if "port" not in settings.model_fields_set and not _is_free(settings.host, settings.port):
        changes["port"] = 0
    # The demo's world is its own: it must not meet the servers and secrets of a real installation.
    own_world = ("database_url", "redis_url", "nats_url", "media_url", "secret_key", "service_token")
    return settings.model_copy(update={**changes, "public_url": "", **dict.fromkeys(own_world)})


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


async def _add_accounts(installation: Installation, settings: AllInOneSettings) -> None:
    password = installation.secrets.admin_password.get_secret_value()
    async with admin_api(installation.base_url, settings.admin_username, password) as admin:
        for account in ({"provider": "flow", "st": "sandbox-st-1"}, {"provider": "gemini", "api_key": "sandbox-key-1"}):
            await admin.call("POST", "/admin/tokens", json={**account, "remark": "demo"})
    output().print("added a Flow account and a Gemini API key to the pool")


async def _make_files(installation: Installation, files: Path) -> None:
    async with public_api(installation.base_url, installation.secrets.api_key.get_secret_value()) as api:
        with progress_display("image") as progress:
            image = await make_image(
                api, model=DEFAULT_IMAGE_MODEL, prompt=_PROMPT_IMAGE, size=_size(_IMAGE_SIZE), progress=progress
            )
            progress("done", 1.0)
        picture = picture_facts(image.content)
        _check_shape("picture", (picture.width, picture.height), _IMAGE_SIZE)
        image_path = write_file(files / f"image{picture.suffix}", image.content)

        with progress_display("video") as progress:
            video = await make_video(
                api,
                model=DEFAULT_VIDEO_MODEL,
                prompt=_PROMPT_VIDEO,
                size=_size(_VIDEO_SIZE),
                seconds=str(_VIDEO_SECONDS),
                progress=progress,
            )
            progress("done", 1.0)
        clip = clip_facts(video.content)
        _check_shape("clip", (clip.width, clip.height), _VIDEO_SIZE)
        if abs(clip.seconds - _VIDEO_SECONDS) > _SECONDS_TOLERANCE:
            raise MediaBroken(f"the clip lasts {clip.seconds:.1f} s, not {_VIDEO_SECONDS} s")
        video_path = write_file(files / "video.mp4", video.content)
    console = output()
    console.print(f"[bold]image[/]  {image_path}  ({picture.format}, {picture.width}x{picture.height})", soft_wrap=True)
    console.print(f"[bold]video[/]  {video_path}  ({clip.width}x{clip.height}, {clip.seconds:.1f} s)", soft_wrap=True)


def _check_shape(what: str, found: tuple[int, int], asked: tuple[int, int]) -> None:
    """Both the orientation and the size that the upstream has for it must be those asked for. Raises MediaBroken."""
    if any(abs(got - wanted) > wanted * _RATIO_TOLERANCE for got, wanted in zip(found, asked, strict=True)):
        raise MediaBroken(f"the {what} is {_size(found)}, not {_size(asked)}")


def _print_how_to_go_on(installation: Installation, settings: AllInOneSettings) -> None:
    key = installation.secrets.api_key.get_secret_value()
    password = installation.secrets.admin_password.get_secret_value()
    headers = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    body = json.dumps({"model": DEFAULT_IMAGE_MODEL, "prompt": "a lighthouse", "response_format": "url"})
    lines = (
        "",
        f"base URL  {installation.base_url}/v1",
        f"API key   {key}",
        f"admin     {settings.admin_username} / {password}",
        f"try       curl {installation.base_url}/v1/images/generations {headers} -d '{body}'",
        "",
    )
    for line in lines:
        output().print(line, markup=False, soft_wrap=True)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
