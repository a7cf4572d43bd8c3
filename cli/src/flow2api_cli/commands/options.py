"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Gateway to talk to; default: FLOW2API_PUBLIC_URL, else FLOW2API_HOST and _PORT."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
