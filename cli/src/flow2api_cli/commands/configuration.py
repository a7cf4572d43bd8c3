"""``flow2api check-config`` and ``print-config``: the settings before anything listens."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape

from flow2api_cli.all_in_one import check_settings
from flow2api_cli.console import output, reported_errors
from flow2api_cli.service_table import settings_class
from flow2api_cli.settings import AllInOneSettings
from flow2api_common.settings import BaseServiceSettings, SettingsError, load_settings


class Part(StrEnum):
    """What can be configured."""

    ALL_IN_ONE = "up"
    GATEWAY = "gateway"
    TOKEN = "token"  # noqa: S105 - the name of a service
    GENERATION = "generation"
    POLLER = "poller"


PartArgument = Annotated[Part, typer.Argument(help="A service, or 'up' for the all-in-one mode.")]


def check_config(part: PartArgument = Part.ALL_IN_ONE) -> None:
    """Check the settings and report every mistake at once (exit code 2)."""
    with reported_errors():
        load_part(part)
    output().print(f"the settings of {part.value} are fine")


def print_config(part: PartArgument = Part.ALL_IN_ONE) -> None:
    """Print the settings as they take effect, secrets masked."""
    with reported_errors():
        settings = load_part(part)
    console = output()
    for name, value in sorted(settings):
        console.print(f"FLOW2API_{name.upper()}={escape(str(value))}", soft_wrap=True)


def load_part(part: Part) -> BaseServiceSettings:
    """Load the settings of one part. Raises SettingsError."""
    if part is Part.ALL_IN_ONE:
        settings = load_settings(AllInOneSettings)
        check_settings(settings)
        return settings
    return load_settings(settings_class(part))


def mistakes_of(part: Part) -> list[str]:
    """The mistakes in the settings of one part."""
    try:
        load_part(part)
    except SettingsError as exc:
        return exc.mistakes
    return []
