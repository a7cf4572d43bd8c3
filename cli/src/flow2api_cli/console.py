"""What people read: output, errors with exit codes, and the progress of a generation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flow2api_cli.api_client import ApiError
from flow2api_cli.child_process import ChildFailed
from flow2api_cli.components import ComponentFailed
from flow2api_cli.media_facts import MediaBroken
from flow2api_cli.running import EXIT_FAILED, EXIT_USAGE
from flow2api_cli.state import StateDirectoryBroken, StateDirectoryBusy
from flow2api_common.settings import SettingsError

T = TypeVar("T")

_REPORTED = (ApiError, ChildFailed, ComponentFailed, MediaBroken, StateDirectoryBroken, StateDirectoryBusy, OSError)
# A narrow table of a pipe helps nobody; a terminal says its own width.
_PIPE_WIDTH = 160


def output() -> Console:
    """Where results go. Made per use, so that it is the standard output of that moment."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def notices() -> Console:
    """Where errors and remarks go: standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Print what people can act on as one line each and leave with an exit code; other errors pass as they are."""
    try:
        yield
    except SettingsError as exc:
        for mistake in exc.mistakes:
            print_error(mistake)
        raise typer.Exit(EXIT_USAGE) from exc
    except ExceptionGroup as group:
        reported, others = group.split(_REPORTED)
        if reported is None or others is not None:
            raise
        for leaf in _leaves(reported):
            print_error(str(leaf))
        raise typer.Exit(EXIT_FAILED) from group
    except _REPORTED as exc:
        print_error(str(exc))
        raise typer.Exit(EXIT_FAILED) from exc
    except UnicodeDecodeError:
        # The cause holds all that was read, which may be secrets.
        print_error("what was to be read is no UTF-8 text")
        raise typer.Exit(EXIT_FAILED) from None


def run_command(command: Coroutine[Any, Any, T]) -> T:
    """Run a short command's coroutine to its end, errors reported."""
    with reported_errors():
        return asyncio.run(command)


def print_error(message: str) -> None:
    """Print one error line."""
    notices().print(f"[bold red]error:[/] {_plain(message)}")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, as_json: bool) -> None:
    """Print objects as a table of ``columns`` (member → heading), or whole as JSON."""
    console = output()
    if as_json:
        console.print_json(data=list(rows))
        return
    table = Table(*columns.values(), box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    console.print(table)


class ProgressReport(Protocol):
    """Told what happens, and how far along the work is as a fraction, if known."""

    def __call__(self, message: str, fraction: float | None) -> None: ...


@contextmanager
def progress_display(title: str) -> Iterator[ProgressReport]:
    """Show the progress of one piece of work: a bar in a terminal, one line per change elsewhere."""
    console = output()
    if not console.is_terminal:
        yield _LineProgress(console, title)
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("[bold]{task.description}[/]"),
        BarColumn(bar_width=30),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield _BarProgress(progress, progress.add_task(title, total=None, message="asking"))


class _BarProgress:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def __call__(self, message: str, fraction: float | None) -> None:
        if fraction is not None:
            self._progress.update(self._task, total=1.0, completed=fraction)
        self._progress.update(self._task, message=_plain(message))


class _LineProgress:
    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._last = ""

    def __call__(self, message: str, fraction: float | None) -> None:
        line = message if fraction is None or "%" in message else f"{message} {fraction:.0%}"
        if line != self._last:
            self._last = line
            self._console.print(f"{self._title}: {_plain(line)}", soft_wrap=True)


def _plain(text: str) -> str:
    """Keep square brackets of foreign text from being read as markup."""
    return text.replace("[", r"\[")


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list():
            return _plain(", ".join(map(str, value))) or "-"
        case _:
            return _plain(str(value))


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _leaves(exc)
        else:
            yield exc
