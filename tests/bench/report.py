"""The tables of a run, on the terminal and in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path


def write_table(lines: Sequence[str], *, name: str, title: str, page: Path | None) -> None:
    """Print the table, and put it between its markers on ``page``. Raises ValueError when the markers are missing."""
    table = "\n".join(lines)
    print(f"{name}: {title}\n\n{table}\n")
    if page is None:
        return
    begin, end = f"<!-- begin: {name}, written by make bench -->", f"<!-- end: {name} -->"
    text = page.read_text()
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} lacks the markers {begin} and {end}")
    day = datetime.now(UTC).date().isoformat()
    page.write_text(f"{before}{begin}\n\nMeasured on {day}: {title}.\n\n{table}\n\n{end}{after}")
