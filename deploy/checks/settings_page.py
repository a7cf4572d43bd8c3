"""Write docs/settings.md from the settings classes, or with ``--check`` fail when the page is stale.

The classes are the truth: each variable's default and its docstring stand there once.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flow2api_cli.settings import AllInOneSettings
from flow2api_common.settings import BaseServiceSettings
from flow2api_gateway.settings import GatewaySettings
from flow2api_generation_service.settings import GenerationServiceSettings
from flow2api_poller_service.settings import PollerServiceSettings
from flow2api_token_service.settings import TokenServiceSettings
from flow2api_upstream.settings import UpstreamSettings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
PARTS: tuple[tuple[str, type[BaseServiceSettings]], ...] = (
    ("gateway", GatewaySettings),
    ("token", TokenServiceSettings),
    ("generation", GenerationServiceSettings),
    ("poller", PollerServiceSettings),
)
INTRODUCTION = """\
# Settings

Environment variables, over the TOML file named by `FLOW2API_CONFIG` (the same names in lower case without the
prefix), over the defaults. What is required is made by the all-in-one mode (`up`) itself. Durations are seconds or
ISO 8601 (`PT30S`). `flow2api check-config` reports every mistake at once, and `flow2api print-config` shows what takes
effect, secrets masked. This page is written by `make docs`.
"""


def main() -> int:
    page = render()
    if "--check" not in sys.argv:
        PAGE.write_text(page)
        return 0
    if PAGE.exists() and PAGE.read_text() == page:
        return 0
    sys.stderr.write("docs/settings.md is stale: run make docs\n")
    return 1


def render() -> str:
    fields: dict[str, FieldInfo] = dict(AllInOneSettings.model_fields)
    used_by: dict[str, list[str]] = {name: ["up"] for name in fields}
    for part, settings in PARTS:
        for name, field in settings.model_fields.items():
            fields.setdefault(name, field)
            if not fields[name].description:
                fields[name] = field
            used_by.setdefault(name, []).append(part)
    upstream = list(UpstreamSettings.model_fields.keys() - BaseServiceSettings.model_fields.keys())
    shared = [name for name in fields if len(used_by[name]) > 1 and name not in upstream]
    sections = [("Shared by several parts", shared), ("Upstreams", upstream)]
    sections += [
        (title, [name for name in fields if name not in {*shared, *upstream} and used_by[name][-1] == part])
        for title, part in (
            ("All-in-one mode only", "up"),
            ("Gateway", "gateway"),
            ("Token service", "token"),
            ("Generation service", "generation"),
            ("Poller service", "poller"),
        )
    ]
    return INTRODUCTION + "".join(_section(title, names, fields, used_by) for title, names in sections if names)


def _section(title: str, names: list[str], fields: dict[str, FieldInfo], used_by: dict[str, list[str]]) -> str:
    rows = [
        f"| `FLOW2API_{name.upper()}` | {_default(fields[name])} | {', '.join(used_by[name])} "
        f"| {' '.join((fields[name].description or '').split())} |"
        for name in sorted(names)
    ]
    return "\n".join(
        (f"\n## {title}\n", "| variable | default | read by | what it does |", "| --- | --- | --- | --- |", *rows, "")
    )


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined:
        return "required"
    if default is None or default in ("", ()):
        return "none"
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g} s"
    if isinstance(default, dict):
        values = TypeAdapter(dict[str, Any]).dump_python(default, mode="json", exclude_defaults=True)
        return f"`{json.dumps(values)}`"
    return f"`{default}`"


if __name__ == "__main__":
    sys.exit(main())
