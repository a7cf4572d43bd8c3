"""docs/compatibility.md names every scenario, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from flow2api_testing.sdk_programs import scenario_names

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "compatibility.md").read_text()
ROWS = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in PAGE.splitlines() if row.startswith("| ")]
ADMINISTRATION = {"test_token_is_added_listed_masked_disabled_and_deleted", "test_stranger_is_refused"}


def named(column: int) -> set[str]:
    """What a column of the tables with four columns names."""
    return {name for row in ROWS if len(row) == 4 for name in re.findall(r"`([^`]+)`", row[column])}


def test_every_scenario_of_a_program_is_on_the_page() -> None:
    assert set(scenario_names("node")) - named(2) == set()
    assert set(scenario_names("litellm")) - named(3) == set()


def test_every_test_is_on_the_page_and_every_test_of_the_page_exists() -> None:
    programs = [*HERE.glob("test_*_python*.py"), *HERE.glob("test_*_vertex.py")]
    tests = {name for path in programs for name in re.findall(r"def (test_\w+)\(", path.read_text())}
    told = set(re.findall(r"`(test_\w+)`", PAGE))
    assert tests - told - ADMINISTRATION == set()
    assert told - tests == set()


def test_every_scenario_of_the_page_exists() -> None:
    told = {name for name in named(2) | named(3) if " " in name}
    assert told - {*scenario_names("node"), *scenario_names("litellm")} == set()
