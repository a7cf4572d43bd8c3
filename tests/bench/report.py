"""The table of a run, on the terminal and in the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from load import Measurement

_BEGIN = "<!-- begin: chat images, written by make bench -->"
_END = "<!-- end: chat images -->"


def write_table(rows: Mapping[str, Mapping[int, Measurement]], *, floor: str, title: str, page: Path | None) -> None:
    """Print the table, and put it between its markers on ``page``. Raises ValueError when the markers are missing."""
    table = "\n".join(_lines(rows, floor))
    print(f"{title}\n\n{table}")
    if page is None:
        return
    text = page.read_text()
    before, found, rest = text.partition(_BEGIN)
    _, closed, after = rest.partition(_END)
    if not found or not closed:
        raise ValueError(f"{page} lacks the markers {_BEGIN} and {_END}")
    day = datetime.now(UTC).date().isoformat()
    page.write_text(f"{before}{_BEGIN}\n\nMeasured on {day}: {title}.\n\n{table}\n\n{_END}{after}")


def _lines(rows: Mapping[str, Mapping[int, Measurement]], floor: str) -> list[str]:
    lines = [
        "| what | at once | requests/s | p50 ms | p99 ms | p50 ÷ floor |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, by_concurrency in rows.items():
        for concurrency, seen in by_concurrency.items():
            ratio = seen.p50 / rows[floor][concurrency].p50
            lines.append(
                f"| {name} | {concurrency} | {seen.requests_per_second:.0f} | {seen.p50 * 1000:.1f} "
                f"| {seen.p99 * 1000:.1f} | {ratio:.1f} |"
            )
    return lines
