"""The page about Google's credentials explains every reason that a token of theirs can show."""

from __future__ import annotations

import re
from pathlib import Path

from flow2api_upstream.google.advice import ADVICE

PAGE = Path(__file__).parents[2] / "docs" / "google-credentials.md"


def test_every_reason_has_its_row_and_no_row_is_about_nothing() -> None:
    table = PAGE.read_text().partition("## What each reason means")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}
    # Words of the pool's own, and of the machine.
    assert named == set(ADVICE) | {"forbidden", "no_credentials_file"}
