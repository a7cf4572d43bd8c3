"""The documents point at things that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
MAKE = re.compile(r"`make ([a-z-]+)")


@pytest.mark.parametrize("page", sorted(TRACKED.split()))
def test_relative_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    prose = CODE.sub("", path.read_text())
    broken = [link for link in LINK.findall(prose) if not (path.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", ["README.md", "docs/operations.md", "docs/performance.md"])
def test_make_targets_named_in_documents_exist(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(MAKE.findall((ROOT / page).read_text())) <= targets
