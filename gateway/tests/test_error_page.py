"""docs/errors.md says what the gateway does."""

from __future__ import annotations

import re
from pathlib import Path

from flow2api_gateway.errors.openai_table import RULES_BY_REASON

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(
    r"^\| (?P<status>\d{3}) \| (?:`(?P<code>\w+)`|none) \| `(?P<type>\w+)` \| [^|]{10,} \| "
    r"(?P<who>client|user|operator|nobody) \| (?P<repeat>yes|no) \|$",
    re.MULTILINE,
)
# Source: docs/upstream/openai.md, section 4.
REPEATED_BY_SDKS = {408, 409, 429, *range(500, 600)}

Row = tuple[int, str | None, str, bool]


def test_every_error_has_its_row_and_no_row_lies() -> None:
    page = PAGE.read_text()
    rows: list[Row] = [
        (int(row["status"]), row["code"], row["type"], row["repeat"] == "yes") for row in ROW.finditer(page)
    ]
    served: set[Row] = {
        (rule.status, rule.code, rule.type, rule.retry and rule.status in REPEATED_BY_SDKS)
        for rule in RULES_BY_REASON.values()
    }
    assert set(rows) == served
    assert len(rows) == len(set(rows))


def test_no_row_is_overlooked() -> None:
    page = PAGE.read_text()
    assert len(ROW.findall(page)) == len(re.findall(r"^\| \d", page, re.MULTILINE))


def test_the_other_type_of_image_endpoints_is_told() -> None:
    page = PAGE.read_text()
    for image_type in {rule.image_type for rule in RULES_BY_REASON.values() if rule.image_type}:
        assert f"`{image_type}`" in page
