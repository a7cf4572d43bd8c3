"""Pages of a list that is at hand, by ``pageSize`` and ``pageToken``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from flow2api_common.errors import InvalidArgument

_USUAL_PAGE: Final = 50
T = TypeVar("T")


def page_of(items: Sequence[T], *, page_size: str, page_token: str, largest: int) -> tuple[Sequence[T], str]:
    """One page and the token of the next, empty on the last. Raises InvalidArgument on ``pageSize``, ``pageToken``."""
    size = read_page_size(page_size, largest=largest)
    start = _number(page_token, "pageToken")
    end = start + size
    return items[start:end], str(end) if end < len(items) else ""


def read_page_size(page_size: str, *, largest: int) -> int:
    """How many at once; a larger wish is cut, as Google does. Raises InvalidArgument on ``pageSize``."""
    return min(_number(page_size, "pageSize") or _USUAL_PAGE, largest)


def _number(text: str, param: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidArgument.of(param, f"Invalid value '{text[:40]}' for '{param}'.")
    return int(text)
