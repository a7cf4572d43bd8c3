"""``flow2api generate``: an image or a video through the public API, saved to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flow2api_cli.commands.options import UrlOption
from flow2api_cli.console import output, progress_display, reported_errors, run_command
from flow2api_cli.credentials import open_public_api
from flow2api_cli.generating import MadeFile, make_image, make_video
from flow2api_cli.media_facts import clip_facts, picture_facts

DEFAULT_IMAGE_MODEL = "gemini-3.1-flash-image"
DEFAULT_VIDEO_MODEL = "veo-3.1-fast"

app = typer.Typer(no_args_is_help=True, help="Make an image or a video and save it.")

PromptArgument = Annotated[str, typer.Argument(help="What to show.")]
SizeOption = Annotated[str | None, typer.Option(help="Width x height, e.g. 1376x768; chooses the orientation.")]


@app.command("image")
def image(
    prompt: PromptArgument,
    *,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_IMAGE_MODEL,
    size: SizeOption = None,
    to: Annotated[Path | None, typer.Option(help="File to write; default: image.png or image.jpg.")] = None,
    url: UrlOption = None,
) -> None:
    """Make one image."""

    async def command() -> MadeFile:
        with progress_display("image") as progress:
            async with open_public_api(url) as api:
                return await make_image(api, model=model, prompt=prompt, size=size, progress=progress)

    made = run_command(command())
    with reported_errors():
        facts = picture_facts(made.content)
        path = write_file(to or Path(f"image{facts.suffix}"), made.content)
    output().print(f"{path} ({facts.format}, {facts.width}x{facts.height})", markup=False, soft_wrap=True)


@app.command("video")
def video(
    prompt: PromptArgument,
    *,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_VIDEO_MODEL,
    size: SizeOption = None,
    seconds: Annotated[str | None, typer.Option(help="Length, as the model offers it.")] = None,
    to: Annotated[Path, typer.Option(help="File to write.")] = Path("video.mp4"),
    url: UrlOption = None,
) -> None:
    """Make one video."""

    async def command() -> MadeFile:
        with progress_display("video") as progress:
            async with open_public_api(url) as api:
                return await make_video(api, model=model, prompt=prompt, size=size, seconds=seconds, progress=progress)

    made = run_command(command())
    with reported_errors():
        facts = clip_facts(made.content)
        path = write_file(to, made.content)
    described = f"{facts.width}x{facts.height}, {facts.seconds:.1f} s"
    output().print(f"{path} ({described})", markup=False, soft_wrap=True)


def write_file(path: Path, content: bytes) -> Path:
    """Write a finished file, making its directory; give its absolute path."""
    path = path.expanduser().resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
