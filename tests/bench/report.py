"""The tables of a run, on the terminal and in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from load import Measurement


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


def chain_lines(rows: Mapping[str, Mapping[int, Measurement]], *, floors: Mapping[str, str]) -> list[str]:
    """The table of what stands beside its floor, at several concurrencies."""
    lines = [
        "| what | at once | requests/s | p50 ms | p99 ms | p50 ÷ floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, by_concurrency in rows.items():
        for concurrency, seen in by_concurrency.items():
            ratio = seen.p50 / rows[floors[name]][concurrency].p50
            lines.append(
                f"| {name} | {concurrency} | {seen.requests_per_second:.0f} | {seen.p50 * 1000:.1f} "
                f"| {seen.p99 * 1000:.1f} | {ratio:.1f} |"
            )
    return lines
