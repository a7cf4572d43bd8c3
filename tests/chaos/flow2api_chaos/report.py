"""The report of a run, for the terminal, a page of the documentation, and programs."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from flow2api_chaos.run import Outcome

# The pages' places of the two sorts of runs.
_PLACES: Final = {
    False: ("<!-- begin: last run, written by make chaos -->", "<!-- end: last run -->"),
    True: ("<!-- begin: last mixed run, written by make chaos -->", "<!-- end: last mixed run -->"),
}
_SHOWN: Final = 12


def as_json(outcome: Outcome) -> dict[str, Any]:
    """All of it."""
    return {
        "seed": outcome.plan.seed,
        "videos": len(outcome.plan.videos),
        "arrival_seconds": outcome.plan.seconds,
        "seconds": outcome.seconds,
        "settle_seconds": outcome.settle_seconds,
        "is_clean": outcome.audit.is_clean,
        "counts": {promise: len(found) for promise, found in outcome.audit.faults.items()},
        "faults": outcome.audit.faults,
        "facts": outcome.audit.facts,
        "tables": [
            [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in outcome.audit.tables
        ],
        "injected": [{"at_seconds": each.at_seconds, "what": each.what} for each in outcome.injected],
    }


def as_text(outcome: Outcome) -> str:
    """The tables, and below them what broke a promise."""
    lines = [*_tables(outcome), ""]
    for promise, found in outcome.audit.faults.items():
        if found:
            lines += [f"{promise}:", *(f"  {each}" for each in found[:_SHOWN])]
            lines += [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    verdict = "every promise held" if outcome.audit.is_clean else "PROMISES WERE BROKEN"
    return "\n".join([*lines, f"seed {outcome.plan.seed}: {verdict}"])


def write_page(outcome: Outcome, page: Path) -> None:
    """Put the tables between their markers. Raises ValueError when they are missing."""
    text = page.read_text()
    begin, end = _PLACES[outcome.plan.is_mix]
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} lacks its markers")
    day = datetime.now(UTC).date().isoformat()
    machine = f"{psutil.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    body = "\n".join(_tables(outcome))
    page.write_text(f"{before}{begin}\n\nRun on {day}: {machine}.\n\n{body}\n\n{end}{after}")


def write_json(outcome: Outcome, path: Path) -> None:
    path.write_text(json.dumps(as_json(outcome), indent=1) + "\n")


def _tables(outcome: Outcome) -> list[str]:
    plan = outcome.plan
    head = f"Seed {plan.seed}: {len(plan.videos)} videos over {plan.seconds:.0f} s, {len(plan.strikes)} strikes"
    head += f" and {len(plan.mishaps)} troubles of single accounts" if plan.mishaps else ""
    lines = [
        f"{head}; everything was settled {outcome.settle_seconds:.0f} s after the last of these.",
        "",
        "| promise | found |",
        "| --- | ---: |",
        *(f"| {promise} | {len(found)} |" for promise, found in outcome.audit.faults.items()),
        "",
        "| fact | |",
        "| --- | --- |",
    ]
    for name, value in outcome.audit.facts.items():
        shown = (
            ", ".join(f"{key} {count}" for key, count in sorted(value.items())) if isinstance(value, dict) else value
        )
        lines.append(f"| {name} | {shown} |")
    for table in outcome.audit.tables:
        lines += ["", *(f"| {' | '.join(row)} |" for row in (table.columns, ["---"] * len(table.columns), *table.rows))]
    lines += ["", "| at s | injected |", "| ---: | --- |"]
    lines += [f"| {each.at_seconds:.1f} | {each.what} |" for each in outcome.injected]
    return lines
